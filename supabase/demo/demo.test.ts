import postgres from "postgres";
import { afterAll, describe, expect, inject, it } from "vitest";
import { classId, demoFile, rolledBack, troubles } from "./school-session.ts";

const sql = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });

const unpublished = classId(6);

afterAll(() => sql.end());

describe("each trouble of the handbook", () => {
  it("stands there for login", () =>
    rolledBack(sql, async (tx) => {
      await tx.unsafe(troubles);
      const found = await tx<{ email: string; trouble: string }[]>`
        select profile.email, case
          when lim.blocked_until > now() then 'rate limited'
          when usr.deleted_at is not null then 'deleted'
          when usr.banned_until > now() then 'banned'
          when usr.is_sso_user then 'sso'
          when coalesce(usr.encrypted_password, '') = '' then 'no password'
          when usr.confirmed_at is null then 'unconfirmed'
          when usr.email_change <> '' then 'e-mail change'
          when factor.id is not null then 'second factor'
        end as trouble
        from auth.users as usr
        join public.profiles as profile on profile.id = usr.id
        left join public.auth_rate_limits as lim on lim.identifier = usr.email
        left join auth.mfa_factors as factor on factor.user_id = usr.id and factor.status = 'verified'
        where usr.id::text between '10000000-0000-4000-8000-000000000000' and '10000000-0000-4000-8000-000000002000'`;
      const inTrouble = found.filter(({ trouble }) => trouble !== null);
      expect(Object.fromEntries(inTrouble.map(({ email, trouble }) => [email, trouble]))).toEqual({
        "blocked@demo.example": "rate limited",
        "unconfirmed@demo.example": "unconfirmed",
        "banned@demo.example": "banned",
        "google@demo.example": "no password",
        "deleted@demo.example": "deleted",
        "email-change@demo.example": "e-mail change",
        "second-factor@demo.example": "second factor",
        "sso@partner-school.example": "sso",
      });
      const [ghost] = await tx`
        select from public.auth_rate_limits
        where identifier = 'ghost@demo.example' and blocked_until > now()
          and not exists (select from auth.users where email = 'ghost@demo.example')`;
      expect(ghost).toBeDefined();
    }));

  it("stands there for class access: paid in a class that is not published", () =>
    rolledBack(sql, async (tx) => {
      await tx.unsafe(troubles);
      expect(
        await tx`
          select klas.published, enrolled.payment_status from public.inschrijvingen as enrolled
          join public.klassen as klas on klas.id = enrolled.class_id where klas.id = ${unpublished}`,
      ).toEqual([{ published: false, payment_status: "paid" }]);
    }));

  it("stands there for the forum: forum_threads is not published", () =>
    rolledBack(sql, async (tx) => {
      const published = await tx<{ name: string }[]>`
        select tablename as name from pg_catalog.pg_publication_tables
        where pubname = 'supabase_realtime' and schemaname = 'public' order by tablename`;
      expect(published.map(({ name }) => name)).toEqual(["forum_posts", "notifications"]);
    }));

  it("stands there for slow queries: one foreign key without an index, one index twice, a scan", () =>
    rolledBack(sql, async (tx) => {
      const uncovered = await tx`
        select con.conrelid::regclass::text || '(' || att.attname || ')' as foreign_key
        from pg_catalog.pg_constraint as con
        join pg_catalog.pg_attribute as att on att.attrelid = con.conrelid and att.attnum = con.conkey[1]
        where con.contype = 'f'
          and con.connamespace = 'public'::regnamespace
          and not exists (
            select from pg_catalog.pg_index as idx
            where idx.indrelid = con.conrelid and idx.indkey[0] = con.conkey[1]
          )`;
      expect(uncovered).toEqual([{ foreign_key: "forum_posts(thread_id)" }]);
      const twice = await tx`
        select idx.indrelid::regclass::text as relation from pg_catalog.pg_index as idx
        join pg_catalog.pg_class as cls on cls.oid = idx.indrelid
        where cls.relnamespace = 'public'::regnamespace
        group by idx.indrelid, idx.indkey::text, coalesce(pg_get_expr(idx.indpred, idx.indrelid), '')
        having count(*) > 1`;
      expect(twice).toEqual([{ relation: "inschrijvingen" }]);
      const plan = await tx<{ "QUERY PLAN": string }[]>`
        explain select * from public.analytics_events where session_id = 'visit-00001'`;
      expect(plan[0]?.["QUERY PLAN"]).toContain("Seq Scan");
    }));

  it("stands there for memory: more dead rows than living ones, and rows older than a year", () =>
    rolledBack(sql, async (tx) => {
      const [table] = await tx`
        select cls.reloptions, pg_catalog.pg_relation_size(cls.oid) > 5 * 2040 * 60 as is_bloated
        from pg_catalog.pg_class as cls where cls.oid = 'public.lesson_progress'::regclass`;
      expect(table).toEqual({ reloptions: ["autovacuum_enabled=false"], is_bloated: true });
      const [old] = await tx<{ rows: number }[]>`
        select count(*)::int as rows from public.analytics_events where created_at < now() - interval '1 year'`;
      expect(old?.rows).toBeGreaterThan(3000);
    }));
});

describe("the demo's people", () => {
  it("are those of the README, with the passwords it gives", () =>
    rolledBack(sql, async (tx) => {
      await tx.unsafe(troubles);
      const readme = demoFile("README.md");
      const rows = [
        ...readme.matchAll(/^\| `(?<email>[^`@]+@[^`]+)` +\| (?<id>\d\d|none) +\|(?<rest>.*)$/gm),
      ];
      expect(rows.length).toBe(24);
      for (const { groups } of rows) {
        const [person] = await tx<{ id: string; works: boolean }[]>`
          select right(usr.id::text, 2) as id,
            coalesce(usr.encrypted_password = extensions.crypt('demo-password-1', nullif(usr.encrypted_password, '')), false)
              as works
          from auth.users as usr join public.profiles as profile on profile.id = usr.id
          where profile.email = ${groups?.["email"] ?? ""}`;
        const hasPassword = !/^ none +\|/.test(groups?.["rest"] ?? "");
        expect([groups?.["email"], person?.id ?? "none", person?.works ?? false]).toEqual([
          groups?.["email"],
          groups?.["id"],
          hasPassword,
        ]);
      }
    }));

  it("look as Auth writes them", () =>
    rolledBack(sql, async (tx) => {
      const odd = await tx`
        select usr.id from auth.users as usr
        left join auth.identities as identity on identity.user_id = usr.id
        where usr.id::text between '10000000-0000-4000-8000-000000000000' and '10000000-0000-4000-8000-000000002000'
          and (
            usr.instance_id <> '00000000-0000-0000-0000-000000000000'
            or usr.aud <> 'authenticated' or usr.role <> 'authenticated'
            or num_nulls(
              usr.confirmation_token, usr.recovery_token, usr.email_change_token_new, usr.email_change,
              usr.email_change_token_current, usr.phone_change, usr.phone_change_token,
              usr.reauthentication_token, usr.raw_app_meta_data, usr.raw_user_meta_data, identity.id
            ) > 0
            or (usr.deleted_at is null and identity.email is distinct from usr.email)
          )`;
      expect(odd).toEqual([]);
    }));

  it("are not written a second time", () =>
    rolledBack(sql, async (tx) => {
      const count = () =>
        tx`select (select count(*) from auth.users) as users, (select count(*) from public.forum_posts) as posts`;
      const before = await count();
      for (const file of ["50_people.sql", "60_content.sql", "80_members.sql"]) {
        await tx.unsafe(demoFile(file));
      }
      expect(await count()).toEqual(before);
    }));
});
