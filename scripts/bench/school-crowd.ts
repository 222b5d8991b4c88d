import postgres from "postgres";
import { z } from "zod";
import { diagnose, enter, type Limits, openDatabase } from "../../supabase/functions/_shared/database.ts";
import type { Stack } from "../stack/stack.ts";
import { StackError } from "../stack/stack-error.ts";
import type { Subject } from "./measure.ts";

/** How many rows of each kind a big school has. */
export interface SchoolCrowd {
  students: number;
  classes: number;
  /** Spread evenly: each student is in as many classes. */
  enrollments: number;
  posts: number;
}

/** The school that the goals of its diagnoses are about. */
export const schoolCrowd: SchoolCrowd = {
  students: 25_000,
  classes: 500,
  enrollments: 100_000,
  posts: 1_000_000,
};

const postsAtOnce = 250_000;
const limits: Limits = { statement: "10s", lock: "2s" };
const findings = z.object({ findings: z.array(z.object({ code: z.string() })) });

/**
 * Fills the demo school as a big one. Needs the embedded server, whose superuser may leave triggers and foreign keys alone.
 * One in a hundred students has not paid; one in a hundred posts waits for approval.
 * @param progress told after each part how far it is.
 * @returns how long it took, in ms.
 */
export async function fillSchool(
  socket: Stack["socket"],
  { students, classes, enrollments, posts }: SchoolCrowd,
  progress: (line: string) => void,
): Promise<number> {
  if (socket === null) throw new StackError("Only the stack's own server can be filled.");
  const begun = performance.now();
  const sql = postgres({
    host: socket.directory,
    port: socket.port,
    user: "supabase_admin",
    database: "postgres",
    max: 1,
    onnotice: () => {},
    connection: { session_replication_role: "replica", synchronous_commit: "off", statement_timeout: 0 },
  });
  try {
    await sql`
      insert into auth.users (instance_id, id, aud, role, email, email_confirmed_at, created_at, updated_at)
      select
        '00000000-0000-0000-0000-000000000000', md5('pupil' || n)::uuid, 'authenticated', 'authenticated',
        'pupil' || n || '@school.example', now(), now(), now()
      from generate_series(0, ${students - 1}::integer) as n`;
    await sql`
      insert into public.profiles (id, email)
      select md5('pupil' || n)::uuid, 'pupil' || n || '@school.example'
      from generate_series(0, ${students - 1}::integer) as n`;
    await sql`
      insert into public.klassen (id, name, published)
      select md5('class' || n)::uuid, 'Klas ' || n, true from generate_series(0, ${classes - 1}::integer) as n`;
    await sql`
      insert into public.inschrijvingen (student_id, class_id, payment_status)
      select
        md5('pupil' || n % ${students}::integer)::uuid,
        md5('class' || (n % ${students}::integer + n / ${students}::integer * 7) % ${classes}::integer)::uuid,
        case when n % ${students}::integer % 100 = 0 then 'pending' else 'paid' end
      from generate_series(0, ${enrollments - 1}::integer) as n`;
    await sql`
      insert into public.tasks (class_id, title)
      select md5('class' || n % ${classes}::integer)::uuid, 'Opdracht'
      from generate_series(0, ${12 * classes - 1}::integer) as n`;
    await sql`
      insert into public.forum_threads (id, class_id, title)
      select md5('thread' || n)::uuid, md5('class' || n % ${classes}::integer)::uuid, 'Vraag'
      from generate_series(0, ${20 * classes - 1}::integer) as n`;
    for (let from = 0; from < posts; from += postsAtOnce) {
      await sql`
        insert into public.forum_posts (class_id, thread_id, author_id, body, is_approved)
        select
          md5('class' || n % ${classes}::integer)::uuid,
          md5('thread' || n % ${20 * classes}::integer)::uuid,
          md5('pupil' || n % ${students}::integer)::uuid,
          'Shukran, nu snap ik het.',
          n % 100 > 0
        from generate_series(${from}::integer, ${Math.min(from + postsAtOnce, posts) - 1}::integer) as n`;
      progress(`posts: ${Math.min(from + postsAtOnce, posts)} of ${posts}`);
    }
    await sql`
      vacuum (analyze) auth.users, public.profiles, public.klassen, public.inschrijvingen, public.tasks,
        public.forum_threads, public.forum_posts`;
  } finally {
    await sql.end({ timeout: 1 });
  }
  return performance.now() - begun;
}

/** What is measured in the big school, another student each time, in a transaction as the edge function's. */
export function schoolSubjects(
  databaseUrl: string,
  claims: Record<string, unknown>,
): { subjects: Subject[]; close(): Promise<void> } {
  const sql = openDatabase(databaseUrl, "runbook bench school");
  let calls = 0;
  /** A student who has paid, or every hundredth, who has not. */
  const pupil = (paid: boolean): number => {
    calls += 1;
    return ((calls * 7_919) % (schoolCrowd.students / 100)) * 100 + (paid ? 1 : 0);
  };
  const ask = async (issue: string, params: Record<string, unknown>, code: string): Promise<void> => {
    const answer = await sql.begin("read only", async (transaction) => {
      await enter(transaction, claims, crypto.randomUUID(), limits);
      return diagnose(transaction, issue, params);
    });
    if (!findings.parse(answer).findings.some((finding) => finding.code === code))
      throw new Error(`${issue}: ${code} was not found in ${JSON.stringify(answer).slice(0, 500)}.`);
  };
  const classOf = async (student: number): Promise<string> => {
    const [row] = await sql`select md5('class' || ${student % schoolCrowd.classes}::integer)::uuid as id`;
    return String(row?.["id"]);
  };
  let student = 0;
  let classId = "";
  const prepare = (paid: boolean) => async (): Promise<void> => {
    student = pupil(paid);
    classId = await classOf(student);
  };
  const email = (): string => `pupil${student}@school.example`;
  return {
    subjects: [
      {
        name: "class-access, a student of four classes",
        prepare: prepare(true),
        call: () => ask("class-access", { email: email() }, "sees_class"),
      },
      {
        name: "class-access, one who has not paid",
        prepare: prepare(false),
        call: () => ask("class-access", { email: email() }, "unpaid"),
      },
      {
        name: "class-access, one class",
        prepare: prepare(true),
        call: () => ask("class-access", { email: email(), class_id: classId }, "sees_class"),
      },
      {
        name: "forum, for everybody",
        prepare: prepare(true),
        call: () => ask("forum", { class_id: classId }, "posts_there"),
      },
      {
        name: "forum, for one student",
        prepare: prepare(true),
        call: () => ask("forum", { class_id: classId, email: email() }, "sees_posts"),
      },
    ],
    close: () => sql.end({ timeout: 1 }),
  };
}
