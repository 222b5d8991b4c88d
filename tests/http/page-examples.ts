/** A request that a page shows, with the answer that it shows for it. */
export interface Example {
  endpoint: string;
  method: "GET" | "POST";
  /** As they are written, with the shell's variables. */
  headers: Record<string, string>;
  body: unknown;
  /** The JSON that follows the request on the page. */
  shown: unknown;
}

/** The requests to endpoints in a page's shell blocks, in order; the JSON block after them is the last one's answer. */
export function examplesOf(page: string): Example[] {
  const examples: Example[] = [];
  let last: Example | undefined;
  for (const [, language, block = ""] of page.matchAll(/^```(sh|json)\n(.*?)^```$/gms)) {
    if (language === "sh") {
      const found = block
        .replaceAll("\\\n", " ")
        .split("\n")
        .flatMap((line) => exampleOf(line) ?? []);
      examples.push(...found);
      last = found.at(-1);
    } else if (last !== undefined) {
      last.shown = JSON.parse(block);
      last = undefined;
    }
  }
  return examples;
}

function exampleOf(line: string): Example | undefined {
  const endpoint = /^curl -s "?\$SUPABASE_URL\/functions\/v1\/([^\s"]+)/.exec(line)?.[1];
  if (endpoint === undefined) return undefined;
  const headers = [...line.matchAll(/-H "([^":]+): ([^"]*)"/g)].map(([, name = "", value = ""]) => [
    name,
    value,
  ]);
  const body = /-d '([^']*)'/.exec(line)?.[1];
  return {
    endpoint,
    method: body === undefined ? "GET" : "POST",
    headers: Object.fromEntries(headers),
    body: body === undefined ? undefined : JSON.parse(body),
    shown: undefined,
  };
}

/**
 * What of an answer a page shows, in the page's shape: its keys, and those of its elements that the page has, in their
 * order. A page may show a part of the answer, wherever that stands. Equal to `plain(shown)` when the page is right.
 */
export function partShown(answer: unknown, shown: unknown): unknown {
  const parts = [...nodesOf(answer)].map((node) => project(node, shown));
  const wanted = JSON.stringify(plain(shown));
  return parts.find((part) => JSON.stringify(part) === wanted) ?? parts[0];
}

/** A value without what differs from one time to the next: times, durations, hashes, and figures in sentences. */
export function plain(value: unknown, key = ""): unknown {
  if (Array.isArray(value)) return value.map((each) => plain(each));
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).map(([name, each]) => [name, plain(each, name)]);
    return Object.fromEntries(entries);
  }
  if (["took_ms", "plan_hash"].includes(key)) return key;
  if (typeof value !== "string" || !value.includes(" ")) return value;
  return value.replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/g, "<time>").replace(/\d+(\.\d+)?/g, "<number>");
}

function project(answer: unknown, shown: unknown, key = ""): unknown {
  if (Array.isArray(shown) && Array.isArray(answer)) {
    let from = 0;
    return shown.map((each) => {
      const wanted = JSON.stringify(plain(each));
      const index = answer.findIndex(
        (one, at) => at >= from && JSON.stringify(project(one, each)) === wanted,
      );
      if (index === -1) return project(answer[from], each);
      from = index + 1;
      return project(answer[index], each);
    });
  }
  if (isObject(shown) && isObject(answer)) {
    const entries = Object.entries(shown).map(([name, each]) => [name, project(answer[name], each, name)]);
    return Object.fromEntries(entries);
  }
  return plain(answer, key);
}

function* nodesOf(value: unknown): Generator<unknown> {
  yield value;
  const parts = Array.isArray(value) ? value : isObject(value) ? Object.values(value) : [];
  for (const part of parts) yield* nodesOf(part);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
