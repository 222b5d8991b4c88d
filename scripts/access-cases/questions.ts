import { people } from "./column-types.ts";
import type { Json } from "./quote.ts";
import type { Random } from "./random.ts";
import type { Roles } from "./roles.ts";
import type { Question, Subject } from "./world.ts";

/** Asks about each command once, each time as somebody else. */
export function makeQuestions(random: Random, subject: Subject, roles: Roles): Question[] {
  return (["select", "insert", "update", "delete"] as const).map((command) => ({
    command,
    who: makeWho(random),
    claims: makeClaims(random, roles),
    match: command === "insert" ? undefined : makeMatch(random, subject),
    row:
      command === "insert"
        ? newRow(random, subject)
        : command === "update"
          ? changedColumns(random, subject)
          : undefined,
  }));
}

function makeWho(random: Random): Question["who"] {
  return random.weighted<Question["who"]>([
    [8, { user: people.student.email }],
    [2, { user: people.student.id }],
    [3, { user: people.admin.email }],
    [2, { user: people.teacher.email }],
    [4, { role: "anon" }],
    [1, { role: "authenticated" }],
    [1, { role: "service_role" }],
  ]);
}

function makeClaims(random: Random, roles: Roles): Question["claims"] {
  return random.weighted<Question["claims"]>([
    [20, {}],
    [3, { team: "red" }],
    [1, { team: "12" }],
    [1, { aal: "aal2" }],
    [1, { app_metadata: { provider: "sms", roles: ["x"] } }],
    // What no token of Auth's holds, but a hook or a team's own token may. A `sub` that is no uuid is not asked: then
    // whether auth.uid() raises beside a null hangs on how often the session has planned the function around it.
    [0.5, { app_metadata: "none" }],
    [1, { role: roles.own }],
  ]);
}

function makeMatch(random: Random, subject: Subject): Question["match"] {
  return random.weighted<() => Question["match"]>([
    [6, () => undefined],
    [3, () => ({ [subject.key.name]: random.pick(subject.key.values).json })],
    [
      2,
      () => {
        const column = random.pick(subject.columns);
        const { json } = random.pick(column.type.values);
        // Only what a filter of the Data API would carry as it is.
        return typeof json === "string" || typeof json === "boolean" ? { [column.name]: json } : undefined;
      },
    ],
    // `is null`, alone and beside another column.
    [1, () => ({ [random.pick(subject.columns).name]: null })],
    [
      0.5,
      () => ({
        [random.pick(subject.columns).name]: null,
        [subject.key.name]: random.pick(subject.key.values).json,
      }),
    ],
  ])();
}

function newRow(random: Random, subject: Subject): Question["row"] {
  const key = random.pick(subject.key.free);
  const row: Record<string, Json> = key === undefined ? {} : { [subject.key.name]: key.json };
  for (const { name, type } of random.some(subject.columns, 0.7)) row[name] = random.pick(type.values).json;
  return Object.keys(row).length === 0 ? makeRow(random, subject, 1) : row;
}

function changedColumns(random: Random, subject: Subject): Question["row"] {
  const row = makeRow(random, subject, 0.4);
  return Object.keys(row).length === 0 ? makeRow(random, subject, 1) : row;
}

function makeRow(random: Random, subject: Subject, share: number): Record<string, Json> {
  const row: Record<string, Json> = {};
  for (const { name, type } of random.some(subject.columns, share)) row[name] = random.pick(type.values).json;
  return row;
}
