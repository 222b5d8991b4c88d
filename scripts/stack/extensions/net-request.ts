import { codeOf } from "../stack-error.ts";
import type { NetRequest, NetResponse } from "./net-store.ts";

/** The version of pg_net that the stand-in follows. */
export const netVersion = "0.20.4";

/**
 * Sends one request and returns what pg_net would record of it; it never rejects for what the other side does.
 * @throws The signal's reason when `over` is aborted before the answer is complete.
 */
export async function sendRequest(request: NetRequest, over: AbortSignal): Promise<NetResponse> {
  const { id, url, timeoutMilliseconds } = request;
  const begun = performance.now();
  const timeout = timeoutMilliseconds > 0 ? AbortSignal.timeout(timeoutMilliseconds) : null;
  try {
    if (!URL.canParse(url)) return failure(id, "URL using bad/illegal format or missing URL");
    if (!["http:", "https:"].includes(new URL(url).protocol)) return failure(id, "Unsupported protocol");
    const response = await fetch(url, {
      method: request.method.toUpperCase(),
      headers: withDefaults(request),
      body: request.body === null ? null : new Uint8Array(request.body),
      redirect: "follow",
      signal: AbortSignal.any(timeout === null ? [over] : [over, timeout]),
    });
    const content = await readText(response);
    return {
      id,
      statusCode: response.status,
      contentType: response.headers.get("content-type"),
      headers: Object.fromEntries(response.headers),
      content: content === "" ? null : content,
    };
  } catch (error) {
    over.throwIfAborted();
    if (timeout?.aborted === true) {
      const passed = (performance.now() - begun).toFixed(6);
      return {
        id,
        timedOut: true,
        errorMessage:
          `Timeout of ${timeoutMilliseconds} ms reached. Total time: ${passed} ms (DNS time: 0.000000 ms, ` +
          `TCP/SSL handshake time: 0.000000 ms, HTTP Request/Response time: ${passed} ms)`,
      };
    }
    return failure(id, describe(error));
  }
}

function failure(id: string, errorMessage: string): NetResponse {
  return { id, timedOut: false, errorMessage };
}

/** The request's headers with those that libcurl or pg_net adds. */
function withDefaults(request: NetRequest): Headers {
  const headers = new Headers();
  for (const [name, value] of request.headers) headers.append(name, value);
  if (!headers.has("user-agent")) headers.set("user-agent", `pg_net/${netVersion}`);
  if (!headers.has("accept-encoding")) headers.set("accept-encoding", "identity");
  if (request.body !== null && !headers.has("content-type"))
    headers.set("content-type", "application/x-www-form-urlencoded");
  return headers;
}

/** The body as text up to the first NUL, which no text in Postgres can hold. */
async function readText(response: Response): Promise<string> {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(await response.arrayBuffer());
  const end = text.indexOf("\0");
  return end === -1 ? text : text.slice(0, end);
}

/** libcurl's sentences for what fetch says in codes. */
const sentences: Readonly<Record<string, string>> = {
  ECONNREFUSED: "Couldn't connect to server",
  EHOSTUNREACH: "Couldn't connect to server",
  ENETUNREACH: "Couldn't connect to server",
  ENOTFOUND: "Couldn't resolve host name",
  EAI_AGAIN: "Couldn't resolve host name",
  UND_ERR_SOCKET: "Server returned nothing (no headers, no data)",
  ECONNRESET: "Failure when receiving data from the peer",
  EPIPE: "Failed sending data to the peer",
  EPROTO: "SSL connect error",
  DEPTH_ZERO_SELF_SIGNED_CERT: "SSL peer certificate or SSH remote key was not OK",
  SELF_SIGNED_CERT_IN_CHAIN: "SSL peer certificate or SSH remote key was not OK",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "SSL peer certificate or SSH remote key was not OK",
  CERT_HAS_EXPIRED: "SSL peer certificate or SSH remote key was not OK",
  ERR_TLS_CERT_ALTNAME_INVALID: "SSL peer certificate or SSH remote key was not OK",
};

/** fetch says only "fetch failed"; the cause below it, or the first of several, knows why. */
function describe(error: unknown): string {
  let cause = error;
  while (cause instanceof Error && (cause.cause !== undefined || cause instanceof AggregateError)) {
    cause = cause.cause ?? (cause instanceof AggregateError ? cause.errors[0] : undefined);
  }
  const code = codeOf(cause) ?? codeOf(error) ?? "";
  if (code.startsWith("HPE_")) return "Weird server reply";
  const message = cause instanceof Error ? cause.message : String(cause);
  if (message === "redirect count exceeded") return "Number of redirects hit maximum amount";
  if (message === "URL scheme must be a HTTP(S) scheme") return "Unsupported protocol";
  return sentences[code] ?? message;
}
