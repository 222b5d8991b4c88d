import * as z from "zod";
import { findProblems } from "./catalog.ts";
import type { Problem } from "./errors.ts";

/** What is wrong with a body `{ <kind>, params }` that names an entry of the catalog. */
export function nameProblems(kind: "issue" | "remediation", body: Record<string, unknown>): Problem[] {
  const schema = z.strictObject({
    [kind]: z.string().min(1).max(200),
    params: z.record(z.string(), z.unknown()).optional(),
  });
  return findProblems(schema, body);
}

/** Problems of a part, with the paths that they have in the whole body. */
export function problemsBelow(path: string, problems: readonly Problem[]): Problem[] {
  return problems.map((problem) => ({
    ...problem,
    path: problem.path === "" ? path : `${path}.${problem.path}`,
  }));
}

/** A value as text; empty for what is none, which `nameProblems` reports. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** A value as an object; empty for what is none, which `nameProblems` reports. */
export function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value))
    : {};
}
