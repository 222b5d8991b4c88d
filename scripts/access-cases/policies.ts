import { makeExpression, type Scope } from "./expressions.ts";
import { quoteName } from "./quote.ts";
import type { Random } from "./random.ts";

const policyNames = ["own rows", "Admins can do it", `it''s "theirs"`, "x", "Leraren: alles", "zz"] as const;

/** Makes up to six policies of a table. `table` is quoted and has its schema. */
export function makePolicies(
  random: Random,
  table: string,
  scope: Scope,
  targets: readonly string[],
): string[] {
  const count = random.weighted([
    [1, 0],
    [5, 1],
    [6, 2],
    [4, 3],
    [3, 4],
    [2, 5],
    [2, 6],
  ]);
  return Array.from({ length: count }, (_, index) => {
    const restrictive = random.chance(0.25);
    const command = random.weighted([
      [7, "all"],
      [5, "select"],
      [2, "insert"],
      [2, "update"],
      [2, "delete"],
    ]);
    const roles = random.weighted<() => string>([
      [5, () => "public"],
      [4, () => "authenticated"],
      [2, () => random.pick(targets)],
      [1, () => [...new Set([random.pick(targets), random.pick(targets)])].join(", ")],
    ])();
    const expression = (): string => {
      const made = makeExpression(random, scope);
      // A restrictive policy that lets nothing through would leave little to ask.
      return restrictive && random.chance(0.5) ? `(${made}) is not false` : made;
    };
    const using = command === "insert" ? "" : `\nusing (${expression()})`;
    const takesCheck = command === "all" || command === "insert" || command === "update";
    const check =
      takesCheck && (command === "insert" || random.chance(0.5)) ? `\nwith check (${expression()})` : "";
    return [
      `create policy ${quoteName(`${random.pick(policyNames)} ${index}`)} on ${table}`,
      `as ${restrictive ? "restrictive" : "permissive"} for ${command} to ${roles}${using}${check}`,
    ].join("\n");
  });
}
