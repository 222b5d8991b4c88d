import * as z from "zod";
import { invalidBody, type Problem } from "./errors.ts";

/** An entry of the catalog as a worker keeps it. */
export interface Entry {
  parameters: z.ZodType;
  /** What it takes, in a sentence for those whose request does not fit. */
  takes: string;
  /** The probes that are refreshed before a diagnosis. */
  probes: readonly string[];
}

const jsonSchema = z.custom<Exclude<Parameters<typeof z.fromJSONSchema>[0], boolean>>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
);

/** What a worker has learned of the catalog. Definitions change with the schema's version, which every request compares. */
export class Catalog {
  readonly #entries = new Map<string, Entry>();

  get(name: string): Entry | undefined {
    return this.#entries.get(name);
  }

  /** Keeps an entry with the schema that is built from its JSON Schema. */
  learn(name: string, definition: { parameters: unknown; probes?: readonly string[] }): Entry {
    const entry = {
      parameters: z.fromJSONSchema(jsonSchema.parse(definition.parameters)),
      takes: describeParameters(definition.parameters),
      probes: definition.probes ?? [],
    };
    this.#entries.set(name, entry);
    return entry;
  }
}

/** What of `value` does not fit `schema`, in the words that SQL uses too. */
export function findProblems(schema: z.ZodType, value: Record<string, unknown>): Problem[] {
  const parsed = schema.safeParse(value);
  if (parsed.success) return [];
  return parsed.error.issues.flatMap((issue) => {
    const path = issue.path.map(String);
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({
        path: [...path, key].join("."),
        message: "is not a known parameter",
      }));
    }
    return [{ path: path.join("."), message: isMissing(value, issue.path) ? "is required" : wording(issue) }];
  });
}

/** @throws ApiError 400 `INVALID_BODY` when there are problems, with what the request takes as the hint. */
export function refuseProblems(problems: readonly Problem[], takes?: string): void {
  if (problems.length > 0) throw invalidBody(problems, takes);
}

const describedSchema = z.object({
  properties: z.record(z.string(), z.object({ description: z.string().optional() })).default({}),
  required: z.array(z.string()).default([]),
});

/** Like `It takes class_id (the class), email? (an address).`: what is required comes first, `?` is what may be left out. */
function describeParameters(schema: unknown): string {
  const { properties, required } = describedSchema.parse(schema);
  const isOptional = ([name]: [string, unknown]): number => (required.includes(name) ? 0 : 1);
  const inOrder = Object.entries(properties).sort((a, b) => isOptional(a) - isOptional(b));
  const parameters = inOrder.map(([name, { description }]) => {
    const optional = required.includes(name) ? "" : "?";
    if (description === undefined) return `${name}${optional}`;
    const inner = description
      .replace(/\.$/, "")
      .replace(/^[A-Z](?=[a-z ])/, (letter) => letter.toLowerCase());
    return `${name}${optional} (${inner})`;
  });
  return parameters.length === 0 ? "It takes no parameters." : `It takes ${parameters.join(", ")}.`;
}

function wording(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_type")
    return `must be of type ${issue.expected === "int" ? "integer" : issue.expected}`;
  if (issue.code === "too_small" && issue.origin === "string")
    return `must have at least ${issue.minimum} characters`;
  if (issue.code === "too_big" && issue.origin === "string")
    return `must have at most ${issue.maximum} characters`;
  if (issue.code === "invalid_value") return `must be one of ${issue.values.map(String).join(", ")}`;
  if (issue.code === "too_small")
    return `must ${issue.origin === "array" ? `have at least ${issue.minimum} items` : `be at least ${issue.minimum}`}`;
  if (issue.code === "too_big")
    return `must ${issue.origin === "array" ? `have at most ${issue.maximum} items` : `be at most ${issue.maximum}`}`;
  return issue.message;
}

function isMissing(value: unknown, path: readonly PropertyKey[]): boolean {
  let at = value;
  for (const key of path) {
    if (typeof at !== "object" || at === null) return true;
    at = Object.hasOwn(at, key) ? Reflect.get(at, key) : undefined;
  }
  return at === undefined;
}
