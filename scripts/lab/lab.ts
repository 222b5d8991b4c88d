import type { Sql } from "postgres";
import { untilNobodySeesTheDead } from "./until-nobody-sees-the-dead.ts";

/** The database of a lab, and the sessions that its seeds hold open. */
export interface Lab {
  /** As Supabase's `postgres`, who is no superuser. */
  sql: Sql;
  /** As the platform, for what an application cannot do. */
  platform: Sql;
  /** A session of its own, ended with the lab. */
  open(user: string, applicationName: string): Sql;
}

/** What a finding of ours must be to count: the check, its code, and a subject or evidence that names the thing. */
export interface Mark {
  check: string;
  codes: readonly string[];
  names: RegExp;
}

/** How a peer's output shows a fault: what one of its commands prints about the thing. */
export interface PeerMark {
  command: string;
  prints: RegExp;
  /** `partly`: the thing or a number is shown, and not that it is a fault. */
  as: "found" | "partly";
}

/** Programs that we are compared with. */
export type PeerName = "inspect" | "advisors" | "check_postgres" | "exporter";

/** Something that is wrong on purpose. */
export interface Fault {
  /** F1 to F20 are published, others are our own. */
  id: string;
  title: string;
  /**
   * `traffic`: statements that count, made once the making of everything else is forgotten. `stuck`: made last, since its
   * session would stand in the others' way.
   */
  phase?: "traffic" | "stuck";
  make(lab: Lab): Promise<void>;
  /** Any of them is enough. */
  marks: readonly Mark[];
  peers: Partial<Record<PeerName, PeerMark>>;
}

/** Something that looks wrong and is not. */
export interface Trap {
  id: string;
  title: string;
  /**
   * `traffic`: statements that count, made once the making of everything else is forgotten. `stuck`: made last, since its
   * session would stand in the others' way.
   */
  phase?: "traffic" | "stuck";
  make(lab: Lab): Promise<void>;
  /** A finding that is one of these is a false alarm. */
  alarms: readonly Mark[];
  /** Peers' output that raises a false alarm. */
  peers: Partial<Record<PeerName, PeerMark>>;
}

/** A trap and what we said that we should not have said. */
export interface TrapResult {
  id: string;
  title: string;
  trap: Trap | undefined;
  /** What was wrongly said; empty when we were right. */
  alarm: string;
}

/** Runs statements that each stand alone, as CREATE INDEX CONCURRENTLY and VACUUM must. */
export async function runEach(sql: Sql, statements: readonly string[]): Promise<void> {
  for (const statement of statements) {
    // Else a transaction of the schedule may keep it from removing what it should.
    if (statement.startsWith("vacuum")) await untilNobodySeesTheDead(sql);
    await sql.unsafe(statement);
    // Else counters of a change may arrive after those of an ANALYZE that saw it.
    await sql`select pg_stat_force_next_flush()`;
  }
}

/** Runs a statement that must fail. @throws Error when it does not. */
export async function mustFail(sql: Sql, statement: string): Promise<void> {
  let failed = false;
  await sql.unsafe(statement).catch(() => {
    failed = true;
  });
  if (!failed) throw new Error(`The lab expected this to fail: ${statement}`);
}
