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

/** What of `value` does not fit `schema`, in the words that SQL uses too: what is expected, and what came instead. */
export function findProblems(schema: z.ZodType, value: Record<string, unknown>): Problem[] {
  const parsed = schema.safeParse(value);
  if (parsed.success) return [];
  const { issues } = parsed.error;
  return issues
    .filter((issue) => !isOnlyUnsafe(issue, issues))
    .flatMap((issue) => {
      const path = issue.path.map(String);
      if (issue.code === "unrecognized_keys") {
        const message = unknownParameter(schemaAt(schema, issue.path));
        return issue.keys.map((key) => ({ path: [...path, key].join("."), message }));
      }
      const given = valueAt(value, issue.path);
      // Of a list in an address only the whole is there; what is missing has no size.
      const isMissing = given === undefined && issue.code !== "too_small" && issue.code !== "too_big";
      const message = isMissing ? "is required" : wording(issue, given, schemaAt(schema, issue.path));
      return [{ path: path.join("."), message }];
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

/** A value as it is shown to whoever sent it: what it is, and at length only a part of it. */
export function valueText(value: unknown): string {
  if (Array.isArray(value)) return "array";
  if (typeof value === "object" && value !== null) return "object";
  const text = JSON.stringify(value);
  const characters = [...text];
  return characters.length > 60 ? `${characters.slice(0, 57).join("")}...` : text;
}

function wording(issue: z.core.$ZodIssue, value: unknown, schema: z.ZodType | undefined): string {
  if (issue.code === "invalid_type")
    return `must be of type ${typeName(issue.expected, schema)}, not ${valueText(value)}`;
  if (issue.code === "invalid_value")
    return `must be one of ${issue.values.map(String).join(", ")}, not ${valueText(value)}`;
  if (issue.code === "too_small" || issue.code === "too_big") return sizeWording(issue, value);
  return `${issue.message}, not ${valueText(value)}`;
}

function sizeWording(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig, value: unknown): string {
  const limit = issue.code === "too_small" ? `at least ${issue.minimum}` : `at most ${issue.maximum}`;
  if (issue.origin !== "string" && issue.origin !== "array")
    return `must be ${limit}, not ${valueText(value)}`;
  if (issue.code === "too_small" && issue.minimum === 1) return "must not be empty";
  const length = typeof value === "string" || Array.isArray(value) ? [...value].length : 0;
  return `must have ${limit} ${issue.origin === "string" ? "characters" : "items"}, not ${length}`;
}

/** A type in the words of JSON Schema. */
function typeName(expected: string, schema: z.ZodType | undefined): string {
  const number = schema instanceof z.ZodPipe ? schema.out : schema;
  const isInteger = number instanceof z.ZodNumber && number.format?.includes("int") === true;
  if (expected === "int" || isInteger) return "integer";
  return expected === "record" ? "object" : expected;
}

function unknownParameter(schema: z.ZodType | undefined): string {
  const words = "is not a known parameter";
  if (!(schema instanceof z.ZodObject)) return words;
  const known = Object.keys(schema.shape);
  return `${words}; ${known.length === 0 ? "there are none" : `known are ${known.join(", ")}`}`;
}

/** That a number is no safe integer says nothing where another limit says it. */
function isOnlyUnsafe(issue: z.core.$ZodIssue, issues: readonly z.core.$ZodIssue[]): boolean {
  return (
    isUnsafe(issue) &&
    issues.some((other) => !isUnsafe(other) && other.path.join(".") === issue.path.join("."))
  );
}

function isUnsafe(issue: z.core.$ZodIssue): boolean {
  return (
    (issue.code === "too_big" && issue.maximum === Number.MAX_SAFE_INTEGER) ||
    (issue.code === "too_small" && issue.minimum === Number.MIN_SAFE_INTEGER)
  );
}

/** The part of a schema that a path leads to, where it can be followed. */
function schemaAt(schema: z.ZodType, path: readonly PropertyKey[]): z.ZodType | undefined {
  let at: unknown = unwrapped(schema);
  for (const key of path) {
    if (at instanceof z.ZodObject) at = unwrapped(Reflect.get(at.shape, key));
    else if (at instanceof z.ZodArray) at = unwrapped(at.element);
    else return undefined;
  }
  return at instanceof z.ZodType ? at : undefined;
}

function unwrapped(schema: unknown): unknown {
  let at = schema;
  while (at instanceof z.ZodOptional || at instanceof z.ZodDefault) at = at.unwrap();
  return at;
}

/** The value that a path leads to; undefined where there is none. */
function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value;
  for (const key of path) {
    if (typeof at !== "object" || at === null) return undefined;
    at = Object.hasOwn(at, key) ? Reflect.get(at, key) : undefined;
  }
  return at;
}
