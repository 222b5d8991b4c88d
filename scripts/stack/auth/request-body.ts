import type { z } from "zod";
import { AuthError } from "./auth-error.ts";

const limitBytes = 1024 * 1024;

/**
 * The request's JSON body as `schema` reads it. 413 when it is larger than 1 MiB, 400 `bad_json` when it is
 * not JSON or a field has another type; unknown fields are ignored, as Go's decoder does.
 */
export async function readBody<T>(request: Request, schema: z.ZodType<T>): Promise<T> {
  return parseBody(await readText(request), schema);
}

/** Like {@link readBody}, but an empty body counts as `{}`. */
export async function readOptionalBody<T>(request: Request, schema: z.ZodType<T>): Promise<T> {
  return parseBody((await readText(request)) || "{}", schema);
}

function parseBody<T>(text: string, schema: z.ZodType<T>): T {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw badJson(text === "" ? "unexpected end of JSON input" : "invalid JSON");
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw badJson(`${issue?.path.join(".") || "body"}: ${issue?.message ?? "not readable"}`);
}

function badJson(reason: string): AuthError {
  return new AuthError(400, "bad_json", `Could not parse request body as JSON: ${reason}`);
}

async function readText(request: Request): Promise<string> {
  if (request.body === null) return "";
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = request.body.getReader();
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    size += chunk.value.byteLength;
    if (size > limitBytes) {
      // The rest is left unread: the answer must not wait for a sender that never ends.
      await reader.cancel();
      throw new AuthError(
        413,
        "request_entity_too_large",
        `Request body too large (max ${limitBytes} bytes)`,
      );
    }
    chunks.push(chunk.value);
  }
  return Buffer.concat(chunks).toString("utf8");
}
