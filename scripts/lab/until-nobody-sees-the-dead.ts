import type { ISql } from "postgres";

const limitMs = 30_000;

/**
 * Waits until no other transaction sees rows as they were before this session's last change: only then can VACUUM remove
 * those that are dead. The schedule's transactions are over within seconds.
 * @throws Error that names those who still see them after half a minute.
 */
export async function untilNobodySeesTheDead(sql: ISql): Promise<void> {
  const [own] = await sql<{ id: string }[]>`select pg_current_xact_id()::xid::text as id`;
  for (const begun = Date.now(); ; await new Promise((wake) => setTimeout(wake, 50))) {
    const seeing = await sql`
      select act.pid, act.application_name, act.backend_type, act.state, left(act.query, 80) as query
      from pg_catalog.pg_stat_activity as act
      where act.pid <> pg_backend_pid()
        and greatest(age(act.backend_xid), age(act.backend_xmin)) > age(${own?.id ?? ""}::text::xid)`;
    if (seeing.length === 0) return;
    if (Date.now() - begun > limitMs) throw new Error(`Dead rows are still seen: ${JSON.stringify(seeing)}`);
  }
}
