/** Whether the caller asks for plain text rather than JSON. */
export function prefersText(request: Request): boolean {
  const accept = request.headers.get("accept");
  if (accept === null) return false;
  return weightOf(accept, "text/plain") > weightOf(accept, "application/json");
}

function weightOf(accept: string, type: string): number {
  for (const range of accept.split(",")) {
    const [name, ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    if (name !== type) continue;
    const weight = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2);
    return weight === undefined ? 1 : Number(weight) || 0;
  }
  return 0;
}
