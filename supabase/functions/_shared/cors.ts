/** Callers send their credentials in headers, never as cookies: any origin may ask. */
const always: Record<string, string> = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "x-request-id, retry-after, idempotency-key",
};

const allowedHeaders = [
  "accept",
  "apikey",
  "authorization",
  "content-type",
  "idempotency-key",
  "x-client-info",
  "x-region",
  "x-request-id",
  "x-retry-count",
].join(", ");

/** Headers of every answer, so that a page of another origin may read it. */
export function addCorsHeaders(headers: Headers): void {
  for (const [name, value] of Object.entries(always)) headers.set(name, value);
}

/** The answer to a preflight: 204 with what may be sent. */
export function answerPreflight(methods: readonly string[]): Response {
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-methods": [...methods, "OPTIONS"].join(", "),
      "access-control-allow-headers": allowedHeaders,
      "access-control-max-age": "86400",
    },
  });
}
