import postgres from "postgres";
import { afterAll, describe, expect, inject, it } from "vitest";
import { classId, codeOf, rolledBack, signInAs, troubles } from "./school-session.ts";

const sql = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });

const beginners = classId(1);
const conversation = classId(3);
const recitation = classId(4);
const calligraphy = classId(5);

afterAll(() => sql.end());

describe("the school's policies", () => {
  it("show a paid student her classes with their tasks and posts, and no other class", () =>
    rolledBack(sql, async (tx) => {
      await signInAs(tx, "ok@demo.example");
      expect(await visible(tx)).toEqual({ classes: 2, tasks: 24, threads: 80, posts: 2400, enrollments: 2 });
      const [other] = await tx`select from public.klassen where id = ${conversation}`;
      expect(other).toBeUndefined();
    }));

  it.each([
    ["pending-payment@demo.example", 1],
    ["no-enrollment@demo.example", 0],
    ["refunded@demo.example", 1],
    ["unpublished-class@demo.example", 1],
  ])("show %s no class, no task and no post", (email, enrollments) =>
    rolledBack(sql, async (tx) => {
      await tx.unsafe(troubles);
      await signInAs(tx, email);
      expect(await visible(tx)).toEqual({ classes: 0, tasks: 0, threads: 0, posts: 0, enrollments });
    }),
  );

  it("show the class, and none of its recordings, to the student whose policy was lost", () =>
    rolledBack(sql, async (tx) => {
      const [there] = await tx`
        select count(*)::int as recordings from public.recordings where class_id = ${recitation}`;
      expect(there).toEqual({ recordings: 34 });
      await signInAs(tx, "lost-policy@demo.example");
      const [seen] = await tx`
        select
          (select count(*)::int from public.klassen) as classes,
          (select count(*)::int from public.recordings) as recordings`;
      expect(seen).toEqual({ classes: 1, recordings: 0 });
    }));

  it("keep posts that wait for approval from students and show them to the teacher", () =>
    rolledBack(sql, async (tx) => {
      await tx.unsafe(troubles);
      await signInAs(tx, "hidden-posts@demo.example");
      expect(await postsOf(tx, conversation)).toBe(0);
      await signInAs(tx, "viewer@demo.example");
      expect(await postsOf(tx, conversation)).toBe(180);
    }));

  it("have a class that is open and whose forum is empty", () =>
    rolledBack(sql, async (tx) => {
      expect(await postsOf(tx, calligraphy)).toBe(0);
      await signInAs(tx, "empty-forum@demo.example");
      expect(await visible(tx)).toMatchObject({ classes: 1, tasks: 12, posts: 0 });
    }));

  it("let anon read the levels and nothing else", () =>
    rolledBack(sql, async (tx) => {
      const relations = await tx<{ name: string }[]>`
        select cls.relname as name
        from pg_catalog.pg_class as cls
        where cls.relnamespace = 'public'::regnamespace and cls.relkind in ('r', 'v')`;
      expect(relations.length).toBeGreaterThanOrEqual(16);
      await tx`set local role anon`;
      for (const { name } of relations) {
        const code = await codeOf(tx, (attempt) => attempt`select from public.${attempt(name)} limit 1`);
        expect([name, code]).toEqual([name, name === "levels" ? null : "42501"]);
      }
    }));

  it("let pages report events that only admins read", () =>
    rolledBack(sql, async (tx) => {
      await tx`set local role anon`;
      await tx`insert into public.analytics_events (event_name, session_id) values ('page_view', 'test')`;
      await signInAs(tx, "ok@demo.example");
      expect(await tx`select from public.analytics_events limit 1`).toHaveLength(0);
      await signInAs(tx, "admin@demo.example");
      expect(await tx`select from public.analytics_events limit 1`).toHaveLength(1);
    }));

  it("refuse a student who makes herself an admin, pays for herself or clears limits", () =>
    rolledBack(sql, async (tx) => {
      await signInAs(tx, "pending-payment@demo.example");
      const promoted = (attempt: postgres.Sql) => attempt`update public.profiles set role = 'admin'`;
      expect(await codeOf(tx, promoted)).toBe("42501");
      expect(await tx`update public.inschrijvingen set payment_status = 'paid' returning id`).toHaveLength(0);
      expect(await tx`delete from public.auth_rate_limits returning identifier`).toHaveLength(0);
    }));
});

describe("the school's triggers", () => {
  it("make a profile for a new user", () =>
    rolledBack(sql, async (tx) => {
      await tx`
        insert into auth.users (id, email, raw_user_meta_data)
        values ('19999999-0000-4000-8000-000000000001', 'new@demo.example', '{"full_name": "Sara"}')`;
      expect(await tx`select full_name, role from public.profiles where email = 'new@demo.example'`).toEqual([
        { full_name: "Sara", role: "student" },
      ]);
    }));

  it("count a student's post and notify who began the thread", () =>
    rolledBack(sql, async (tx) => {
      const id = await signInAs(tx, "ok@demo.example");
      const thread = "60000000-0000-4000-8000-000000000005";
      await tx`
        insert into public.forum_posts (class_id, thread_id, author_id, body)
        values (${beginners}, ${thread}, ${id}, 'Shukran')`;
      await tx`reset role`;
      expect(await tx`select posts_count from public.forum_threads where id = ${thread}`).toEqual([
        { posts_count: 31 },
      ]);
      expect(await tx`select from public.notifications where payload ->> 'post_id' is not null`).toHaveLength(
        1,
      );
    }));

  it("log a payment, and find their tables through the search path alone", () =>
    rolledBack(sql, async (tx) => {
      await tx.unsafe(troubles);
      const pay = (attempt: postgres.Sql) => attempt`
        update public.inschrijvingen set payment_status = 'paid'
        where id = '40000000-0000-4000-8000-000000000031' returning paid_at is not null as stamped`;
      await tx`set local search_path = ''`;
      expect(await codeOf(tx, pay)).toBe("42P01");
      await tx`set local search_path = public, extensions`;
      expect(await pay(tx)).toEqual([{ stamped: true }]);
      expect(
        await tx`
          select from public.enrollment_history
          where enrollment_id = '40000000-0000-4000-8000-000000000031' and new_status = 'paid'
            and changed_at = now()`,
      ).toHaveLength(1);
    }));
});

async function visible(tx: postgres.Sql): Promise<postgres.Row | undefined> {
  const [counts] = await tx`
    select
      (select count(*)::int from public.klassen) as classes,
      (select count(*)::int from public.tasks) as tasks,
      (select count(*)::int from public.forum_threads) as threads,
      (select count(*)::int from public.forum_posts) as posts,
      (select count(*)::int from public.inschrijvingen) as enrollments`;
  return counts;
}

async function postsOf(tx: postgres.Sql, id: string): Promise<number> {
  return (await tx`select from public.forum_posts where class_id = ${id}`).count;
}
