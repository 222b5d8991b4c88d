// The least an edge function can be: what HTTP, the gateway and Deno cost without any work.
export default {
  fetch: (): Response => new Response("{}", { headers: { "content-type": "application/json" } }),
};
