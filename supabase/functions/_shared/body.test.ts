import { describe, expect, test } from "vitest";
import { discardBody, readBody } from "./body.ts";
import { ApiError } from "./errors.ts";

const json = { "content-type": "application/json" };

function post(body: BodyInit | null, headers: Record<string, string> = json): Request {
  return new Request("http://x/", { method: "POST", body, headers });
}

async function refusal(request: Request): Promise<{ code: string; details: unknown }> {
  const error = await readBody(request).catch((thrown: unknown) => thrown);
  if (!(error instanceof ApiError)) throw new Error("The body was not refused.");
  return { code: error.code, details: error.details };
}

const invalid = (path: string, message: string): { code: string; details: unknown } => ({
  code: "INVALID_BODY",
  details: [{ path, message }],
});

test("an object is read", async () => {
  expect(await readBody(post('{"email":"a@b.example","n":[1,{"x":null}]}'))).toEqual({
    email: "a@b.example",
    n: [1, { x: null }],
  });
});

test("a content type with a charset is JSON too", async () => {
  expect(await readBody(post("{}", { "content-type": "Application/JSON; charset=utf-8" }))).toEqual({});
});

test.each([["text/plain"], ["application/json-patch+json"], ["application/x-www-form-urlencoded"]])(
  "%s is 415",
  async (type) => {
    expect((await refusal(post("{}", { "content-type": type }))).code).toBe("UNSUPPORTED_MEDIA_TYPE");
  },
);

test("bytes without a content type are 415", async () => {
  expect((await refusal(post(new Blob(["{}"]), {}))).code).toBe("UNSUPPORTED_MEDIA_TYPE");
});

describe("size", () => {
  const exactly = `{"a":"${"x".repeat(64 * 1024 - 8)}"}`;

  test("64 KiB are read", async () => {
    expect(exactly.length).toBe(64 * 1024);
    expect(Object.keys(await readBody(post(exactly)))).toEqual(["a"]);
  });

  test("one byte more is 413", async () => {
    expect((await refusal(post(`${exactly} `))).code).toBe("BODY_TOO_LARGE");
  });

  test("a stream that declares nothing is refused, and is not listened to for ever", async () => {
    let sent = 0;
    let cancelled = false;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        sent += 64 * 1024;
        controller.enqueue(new Uint8Array(64 * 1024).fill(32));
      },
      cancel: () => {
        cancelled = true;
      },
    });
    const init: RequestInit & { duplex: "half" } = { method: "POST", body, headers: json, duplex: "half" };
    expect((await refusal(new Request("http://x/", init))).code).toBe("BODY_TOO_LARGE");
    expect(cancelled).toBe(true);
    expect(sent).toBeLessThan(5 * 1024 * 1024);
  });

  test("a declared length is believed before anything is read", async () => {
    expect((await refusal(post("{}", { ...json, "content-length": "2000000" }))).code).toBe("BODY_TOO_LARGE");
  });
});

test("a body that nobody read is dropped, a stream that falls silent after two seconds", async () => {
  const request = post("{}");
  await discardBody(request);
  expect(request.bodyUsed).toBe(true);
  const silent = new ReadableStream<Uint8Array>();
  const init: RequestInit & { duplex: "half" } = { method: "POST", body: silent, duplex: "half" };
  await discardBody(new Request("http://x/", init));
});

test.each([
  ["", "a JSON object is required"],
  ["{", "is not valid JSON"],
  ["[]", "must be a JSON object"],
  ["null", "must be a JSON object"],
  ['"text"', "must be a JSON object"],
  ["7", "must be a JSON object"],
])("%j is refused with its path", async (body, message) => {
  expect(await refusal(post(body))).toEqual(invalid("", message));
});

test("no body is refused, unless it is optional", async () => {
  expect(await refusal(post(null, {}))).toEqual(invalid("", "a JSON object is required"));
  expect(await readBody(post(null, {}), { optional: true })).toEqual({});
});

test("bytes that are no UTF-8 are refused", async () => {
  expect(await refusal(post(new Uint8Array([0x22, 0xff, 0x22])))).toEqual(invalid("", "is not valid UTF-8"));
});

describe("text that Postgres cannot store", () => {
  test("NUL is refused wherever it is", async () => {
    expect(await refusal(post('{"a":{"b":["x","y\\u0000z"]}}'))).toEqual(
      invalid("a.b.1", "contains the character NUL"),
    );
    expect((await refusal(post('{"a\\u0000":1}'))).code).toBe("INVALID_BODY");
  });

  test("half of a surrogate pair is refused, a pair is not", async () => {
    const problem = invalid("a", "contains half of a surrogate pair");
    expect(await refusal(post('{"a":"\\ud83d"}'))).toEqual(problem);
    expect(await refusal(post('{"a":"x\\udc4d"}'))).toEqual(problem);
    expect(await readBody(post('{"a":"\\ud83d\\udc4d"}'))).toEqual({ a: "👍" });
  });

  test("nesting ends somewhere", async () => {
    const deep = `{"a":${"[".repeat(30_000)}${"]".repeat(30_000)}}`;
    expect((await refusal(post(deep))).code).toBe("INVALID_BODY");
  });
});

test("many problems are cut off", async () => {
  const { details } = await refusal(post(JSON.stringify({ a: Array(500).fill("\0") })));
  expect(details).toHaveLength(20);
});
