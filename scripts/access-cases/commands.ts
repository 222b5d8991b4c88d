import { people } from "./column-types.ts";
import { quoteJson, quoteName, quoteText } from "./quote.ts";
import { relationName } from "./tables.ts";
import type { Question, Subject } from "./world.ts";

/** For the rest of the transaction nobody knows which schemas the Data API serves, whatever it has said: it does not serve the cases'. */
export const withoutDataApi = `select runbook.carry_probes('[{"name": "data_api", "ok": false, "evidence": {}}]')`;

/** What the Data API does before a command: role, claims and search path of the request. */
export function becomeStatements(question: Question): string[] {
  return [
    `select ${becomeCall(question)}`,
    `set local search_path = "public", "extensions"`,
    // A GET is a transaction that only reads.
    ...(question.command === "select" ? ["set local transaction_read_only = on"] : []),
  ];
}

function becomeCall({ who, claims }: Question): string {
  if ("role" in who) {
    // A role among the claims is the one that the API takes.
    const all = { role: who.role, ...claims };
    return `tests.take_role(${quoteText(String(all.role))}, ${quoteJson(all)})`;
  }
  const person = Object.values(people).find(({ id, email }) => who.user === id || who.user === email);
  if (person === undefined) throw new Error(`${who.user} is not one of the people that the cases know.`);
  return `tests.become(${quoteText(person.email)}, ${quoteJson(claims)})`;
}

/** The question as `runbook.explain_access` takes it. */
export function explainStatement(subject: Subject, question: Question, proof: boolean): string {
  const params = {
    ...question.who,
    ...(Object.keys(question.claims).length > 0 ? { claims: question.claims } : {}),
    table: shortName(subject),
    command: question.command,
    ...(question.match === undefined ? {} : { match: question.match }),
    ...(question.row === undefined ? {} : { row: question.row }),
    ...(proof ? {} : { proof: false }),
  };
  return `select runbook.explain_access(${quoteJson(params)})`;
}

/** As a person would write it. */
function shortName(subject: Subject): string {
  const isPlain = subject.schema === "public" && /^[a-z_0-9]+$/.test(subject.name);
  return isPlain ? subject.name : relationName(subject);
}

/**
 * The command as the Data API sends it.
 * @param columns what a select reads.
 * @param key only the row with this key, given as text; without one, all rows of the question's match.
 */
export function commandStatement(
  subject: Subject,
  question: Question,
  columns: readonly string[],
  key?: string,
): string {
  const relation = relationName(subject);
  const condition = key === undefined ? matchCondition(subject, question) : keyCondition(subject, key);
  const changed = Object.keys(question.row ?? {}).map(quoteName);
  const given = `jsonb_populate_record(null::${relation}, ${quoteJson(question.row ?? {})})`;
  // `returning 1` reads no column, so it needs no right; it is also what PostgREST sends.
  const isKeyRead = columns.includes(subject.key.name);
  const returning =
    key === undefined && subject.kind !== "view" && isKeyRead
      ? ` returning ${relation}.${quoteName(subject.key.name)}::text as key`
      : " returning 1";
  switch (question.command) {
    case "select": {
      const keyRead = isKeyRead ? `, ${quoteName(subject.key.name)}::text as key` : "";
      return `select ${columns.map((column, index) => `${quoteName(column)} as c${index}`).join(", ")}${keyRead} from ${relation} where ${condition}`;
    }
    case "insert":
      return `insert into ${relation} (${changed.join(", ")}) select ${changed.join(", ")} from ${given} returning 1`;
    case "update":
      return `update ${relation} set ${assignments(changed)} from ${given} as given where ${condition}${returning}`;
    case "delete":
      return `delete from ${relation} where ${condition}${returning}`;
  }
}

function assignments(columns: readonly string[]): string {
  return columns.map((column) => `${column} = given.${column}`).join(", ");
}

/** The rows that a question is about, of the relation under its own name. */
export function matchCondition(subject: Subject, { match, command }: Question): string {
  const relation = relationName(subject);
  // Without a filter the Data API refuses to update or delete.
  if (match === undefined && subject.kind !== "view" && (command === "update" || command === "delete"))
    return [subject.key.name, ...subject.key.further]
      .map((column) => `${relation}.${quoteName(column)} is not null`)
      .join(" and ");
  const conditions = Object.entries(match ?? {}).map(([column, value]) =>
    value === null
      ? `${relation}.${quoteName(column)} is null`
      : `${relation}.${quoteName(column)} = ${quoteText(String(value))}`,
  );
  return conditions.length === 0 ? "true" : conditions.join(" and ");
}

function keyCondition(subject: Subject, key: string): string {
  return `${relationName(subject)}.${quoteName(subject.key.name)} = ${quoteText(key)}`;
}
