/**
 * The id under which a request is logged: the caller's `x-request-id` when it is one plain word of at most 128
 * characters, else a new one.
 */
export function requestIdOf(request: Request): string {
  const given = request.headers.get("x-request-id");
  return given !== null && /^[A-Za-z0-9._:-]{1,128}$/.test(given) ? given : crypto.randomUUID();
}
