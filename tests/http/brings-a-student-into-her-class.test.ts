import { beforeAll, expect, it, onTestFinished } from "vitest";
import { z } from "zod";
import {
  type Answer,
  bearer,
  call,
  expectRefusal,
  newPerson,
  openDatabase,
  type Person,
  runIdOf,
} from "./runbook-client.ts";

const sql = openDatabase();
const note = "Transfer of 3 May, EUR 149, seen in the bank.";
let viewer: Record<string, string>;
let operator: Record<string, string>;

beforeAll(async () => {
  viewer = bearer((await newPerson(sql, "viewer")).token);
  operator = bearer((await newPerson(sql, "operator")).token);
});

interface Student extends Person {
  classId: string;
  enrollmentId: string;
}

/** A student with an enrolment of a status in a published class with one task and one recording. */
async function newStudent(status: string): Promise<Student> {
  const person = await newPerson(sql);
  const classId = crypto.randomUUID();
  const enrollmentId = crypto.randomUUID();
  await sql`insert into public.klassen (id, name, published) values (${classId}, 'HTTP-les', true)`;
  await sql`insert into public.tasks (class_id, title) values (${classId}, 'Lees')`;
  await sql`
    insert into public.recordings (class_id, title, storage_path) values (${classId}, 'Les 1', 'x.mp4')`;
  await sql`
    insert into public.inschrijvingen (id, student_id, class_id, payment_status)
    values (${enrollmentId}, ${person.id}, ${classId}, ${status})`;
  onTestFinished(async () => {
    await sql`delete from public.klassen where id = ${classId}`;
  });
  return { ...person, classId, enrollmentId };
}

/** How many rows of a class the person's own token sees through the Data API. */
async function seen({ email, classId }: Student): Promise<Record<string, number>> {
  const rows = await sql.begin(async (transaction) => {
    await transaction`select tests.become(${email})`;
    return transaction<{ name: string; count: number }[]>`
      select 'classes' as name, count(*)::integer as count from public.klassen where id = ${classId}
      union all
      select 'tasks', count(*)::integer from public.tasks where class_id = ${classId}
      union all
      select 'recordings', count(*)::integer from public.recordings where class_id = ${classId}`;
  });
  return Object.fromEntries(rows.map(({ name, count }) => [name, count]));
}

const findings = z.object({
  findings: z.array(
    z.object({
      code: z.string(),
      severity: z.string(),
      summary: z.string(),
      remediation: z.string().nullable(),
      params: z.unknown(),
    }),
  ),
});

function problemsOf(answer: Answer): z.infer<typeof findings>["findings"] {
  return findings.parse(answer.body).findings.filter(({ severity }) => severity !== "info");
}

/** The demo has lost the policy by which students see recordings: it is put back for a test. */
async function restoreTheLostPolicy(): Promise<void> {
  await sql`
    create policy "Students can view recordings of their classes" on public.recordings
    for select to authenticated
    using (is_enrolled_in_class(class_id))`;
  onTestFinished(async () => {
    await sql`drop policy "Students can view recordings of their classes" on public.recordings`;
  });
}

it("finds that she has not paid, counts it as paid, and she sees the class with her own token", async () => {
  await restoreTheLostPolicy();
  const student = await newStudent("pending");
  expect(await seen(student)).toEqual({ classes: 0, tasks: 0, recordings: 0 });

  const found = await call("diagnose-class-access", { headers: viewer, json: { email: student.email } });
  expect(found.status).toBe(200);
  expect(found.body).toMatchObject({ issue: "class-access", verdict: "problem", subject: student.email });
  const [problem] = problemsOf(found);
  expect(problem).toMatchObject({
    code: "unpaid",
    remediation: "mark-enrollment-paid",
    params: { enrollment_id: student.enrollmentId },
  });

  const json = { enrollment_id: student.enrollmentId };
  const refused = await call("mark-enrollment-paid", { headers: viewer, json: { ...json, reason: note } });
  expectRefusal(refused, 403, "ROLE_REQUIRED");

  const silent = await call("mark-enrollment-paid", { headers: operator, json });
  expectRefusal(silent, 400, "INVALID_BODY");
  expect(silent.body["details"]).toEqual([
    { path: "reason", message: expect.stringMatching(/^is required: a payment note/) },
  ]);
  const short = await call("mark-enrollment-paid", {
    headers: operator,
    json: { ...json, reason: "  ok  " },
  });
  expect(short.body["details"]).toEqual([
    {
      path: "reason",
      message: expect.stringMatching(/^must have at least 10 characters, not \d+: a payment note/),
    },
  ]);

  const applied = await call("mark-enrollment-paid", { headers: operator, json: { ...json, reason: note } });
  expect(applied.status).toBe(200);
  expect(applied.body).toMatchObject({
    state: "succeeded",
    steps: [{ kind: "row", operation: "update", relation: "public.inschrijvingen" }],
    verification: { status: "verified" },
    undo: { available: true, complete: true },
  });
  expect(await seen(student)).toEqual({ classes: 1, tasks: 1, recordings: 1 });
  const after = await call("diagnose-class-access", { headers: viewer, json: { email: student.email } });
  expect(after.body).toMatchObject({ verdict: "ok" });

  const undone = await call("undo-remediation", {
    headers: operator,
    json: { run_id: runIdOf(applied), reason: "wrong student" },
  });
  expect(undone.status).toBe(200);
  expect(await seen(student)).toEqual({ classes: 0, tasks: 0, recordings: 0 });
});

it("finds the policy that was lost, and is silent once it is back", async () => {
  const student = await newStudent("paid");
  expect(await seen(student)).toEqual({ classes: 1, tasks: 1, recordings: 0 });
  const json = { user_id: student.id, class_id: student.classId };

  const found = await call("diagnose-class-access", { headers: viewer, json });
  const problems = problemsOf(found);
  expect(problems.map(({ code }) => code)).toEqual(["content_hidden"]);
  expect(problems[0]?.summary).toContain("public.recordings");
  expect(found.text).not.toContain("x.mp4");

  await restoreTheLostPolicy();
  expect(await seen(student)).toEqual({ classes: 1, tasks: 1, recordings: 1 });
  const after = await call("diagnose-class-access", { headers: viewer, json });
  expect(after.body).toMatchObject({ verdict: "ok" });
});

it("enrols her, and takes it back", async () => {
  const student = await newStudent("paid");
  await sql`delete from public.inschrijvingen where id = ${student.enrollmentId}`;
  const json = { email: student.email, class_id: student.classId };
  const found = await call("diagnose-class-access", { headers: viewer, json });
  const [problem] = problemsOf(found);
  expect(problem).toMatchObject({ code: "not_enrolled", remediation: "enroll-student" });

  const plan = await call("enroll-student", { headers: operator, json: { ...json, dry_run: true } });
  expect(plan.body).toMatchObject({
    state: "planned",
    steps: [
      { summary: `Enrol ${student.email} in HTTP-les, paid.` },
      { operation: "insert", relation: "public.enrollment_history" },
    ],
  });
  expect(await seen(student)).toMatchObject({ classes: 0 });

  const applied = await call("enroll-student", { headers: operator, json: { ...json, reason: note } });
  expect(applied.body).toMatchObject({ state: "succeeded", verification: { status: "verified" } });
  expect(await seen(student)).toMatchObject({ classes: 1, tasks: 1 });

  const undone = await call("undo-remediation", {
    headers: operator,
    json: { run_id: runIdOf(applied), reason: "wrong class" },
  });
  expect(undone.body).toMatchObject({ state: "succeeded" });
  expect(await seen(student)).toMatchObject({ classes: 0, tasks: 0 });
});

it("says in words why it will not", async () => {
  const student = await newStudent("refunded");
  const refused = await call("mark-enrollment-paid", {
    headers: operator,
    json: { enrollment_id: student.enrollmentId, reason: note },
  });
  expectRefusal(refused, 409, "REFUSED");
  expect(refused.body).toMatchObject({
    message: expect.stringContaining("refunded"),
    hint: expect.stringContaining("paid_again"),
  });
  const again = await call("enroll-student", {
    headers: operator,
    json: { user_id: student.id, class_id: student.classId, reason: note },
  });
  expectRefusal(again, 409, "REFUSED");
  const nowhere = await call("enroll-student", {
    headers: operator,
    json: { user_id: student.id, class_id: crypto.randomUUID(), reason: note },
  });
  expectRefusal(nowhere, 404, "NOT_FOUND");
});

it("enrols once, whoever asks at the same time", async () => {
  const student = await newStudent("paid");
  await sql`delete from public.inschrijvingen where id = ${student.enrollmentId}`;
  const json = { email: student.email, class_id: student.classId, reason: note };
  const answers = await Promise.all([1, 2, 3].map(() => call("enroll-student", { headers: operator, json })));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
  expect(answers.map(({ body }) => body["state"]).sort()).toEqual(["no_op", "no_op", "succeeded"]);
});

it("tells an empty forum from one that waits for approval", async () => {
  const student = await newStudent("paid");
  const json = { class_id: student.classId, email: student.email };
  const empty = await call("diagnose-forum", { headers: viewer, json });
  expect(empty.status).toBe(200);
  expect(findings.parse(empty.body).findings.map(({ code }) => code)).toContain("no_posts");
  expect(problemsOf(empty).map(({ code }) => code)).toEqual(["table_not_published"]);

  const [thread] = await sql<{ id: string }[]>`
    insert into public.forum_threads (class_id, title) values (${student.classId}, 'Vraag') returning id`;
  await sql`
    insert into public.forum_posts (class_id, thread_id, body, is_approved)
    values (${student.classId}, ${thread?.id ?? ""}, 'a secret of the forum', false)`;
  const hidden = await call("diagnose-forum", { headers: viewer, json });
  expect(problemsOf(hidden).map(({ code }) => code)).toEqual([
    "posts_unapproved",
    "posts_hidden",
    "table_not_published",
  ]);
  expect(hidden.text).not.toContain("a secret of the forum");
});
