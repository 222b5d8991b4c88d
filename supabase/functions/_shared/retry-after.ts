/**
 * How many seconds a service asks to be left alone, whole and positive. The Management API says it in a header of its
 * own when there were too many requests.
 */
export function retryAfterOf({ status, headers }: Response): number | undefined {
  const told = [headers.get("retry-after"), status === 429 ? headers.get("x-ratelimit-reset") : null];
  const seconds = told.map(Number).find((number) => Number.isFinite(number) && number > 0);
  return seconds === undefined ? undefined : Math.ceil(seconds);
}
