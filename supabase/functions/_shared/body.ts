import { ApiError, invalidBody, type Problem } from "./errors.ts";

const limitBytes = 64 * 1024;
const limitDepth = 32;
const discardBytes = 4 * 1024 * 1024;
const discardMs = 2_000;

/**
 * Reads a JSON object. With `optional` an empty body counts as `{}`.
 * @throws ApiError 415 for another content type, 413 above 64 KiB (declared or sent), 400 with the path of each problem:
 *   no body, no JSON, no object, or text that Postgres cannot store.
 */
export async function readBody(
  request: Request,
  { optional = false }: { optional?: boolean } = {},
): Promise<Record<string, unknown>> {
  const type = request.headers.get("content-type");
  if (type !== null && !/^application\/json\s*(;|$)/i.test(type))
    throw new ApiError("UNSUPPORTED_MEDIA_TYPE");
  const bytes = await readBytes(request);
  if (bytes.length === 0) {
    if (optional) return {};
    throw invalidBody([{ path: "", message: "a JSON object is required" }]);
  }
  if (type === null) throw new ApiError("UNSUPPORTED_MEDIA_TYPE");
  const value = parse(bytes);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalidBody([{ path: "", message: "must be a JSON object" }]);
  const problems = [...unstorable(value, [])];
  if (problems.length > 0) throw invalidBody(problems);
  return Object.fromEntries(Object.entries(value));
}

/**
 * Reads what is left of a body and drops it, at most 4 MiB or two seconds of it. A server that answers and hangs up while
 * the other side still sends makes a proxy in between lose the answer.
 */
export async function discardBody(request: Request): Promise<void> {
  if (request.body === null || request.bodyUsed) return;
  await discard(request.body.getReader());
}

async function discard(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  // Cancelling ends a read that is waiting.
  const timer = setTimeout(() => void reader.cancel(), discardMs);
  try {
    for (let length = 0; length < discardBytes; ) {
      const { done, value } = await reader.read();
      if (done) return;
      length += value.length;
    }
    await reader.cancel();
  } finally {
    clearTimeout(timer);
  }
}

async function readBytes(request: Request): Promise<Uint8Array> {
  if (Number(request.headers.get("content-length") ?? 0) > limitBytes) throw new ApiError("BODY_TOO_LARGE");
  if (request.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = request.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > limitBytes) {
      await discard(reader);
      throw new ApiError("BODY_TOO_LARGE");
    }
    chunks.push(value);
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

function parse(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw invalidBody([{ path: "", message: "is not valid UTF-8" }]);
  }
  try {
    return JSON.parse(text);
  } catch {
    throw invalidBody([{ path: "", message: "is not valid JSON" }]);
  }
}

/** Text that is JSON and that Postgres cannot store: NUL, and halves of a surrogate pair. */
function* unstorable(value: unknown, path: readonly string[]): Generator<Problem> {
  if (typeof value === "string") {
    const message = textProblem(value);
    if (message !== undefined) yield { path: path.join("."), message };
    return;
  }
  if (typeof value !== "object" || value === null) return;
  if (path.length >= limitDepth) {
    yield { path: path.join("."), message: `is nested deeper than ${limitDepth} levels` };
    return;
  }
  for (const [key, member] of Object.entries(value)) {
    const memberPath = [...path, key];
    const message = textProblem(key);
    if (message === undefined) yield* unstorable(member, memberPath);
    else yield { path: memberPath.join("."), message: `the name ${message}` };
  }
}

function textProblem(text: string): string | undefined {
  if (text.includes("\0")) return "contains the character NUL";
  if (/(?<![\ud800-\udbff])[\udc00-\udfff]|[\ud800-\udbff](?![\udc00-\udfff])/.test(text))
    return "contains half of a surrogate pair";
  return undefined;
}
