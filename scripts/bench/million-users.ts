import postgres from "postgres";
import type { Stack } from "../stack/stack.ts";
import { StackError } from "../stack/stack-error.ts";

/** How many rows of each kind a big project has. */
export interface Crowd {
  users: number;
  auditLogEntries: number;
}

/** The project that the goals are about. */
export const crowd: Crowd = { users: 1_000_000, auditLogEntries: 5_000_000 };

/** One in so many people has not confirmed the address, so that the diagnosis has something to find. */
const unconfirmedEvery = 100;
const domains = ["gmail.com", "hotmail.com", "outlook.com", "ziggo.nl", "school.example"] as const;
const domainList = domains.join(" ");
const usersAtOnce = 100_000;
const entriesAtOnce = 500_000;

/** The address of a person who has not confirmed it, another one at each call. */
export function unconfirmedPerson(call: number): string {
  const index = ((call * 7_919) % (crowd.users / unconfirmedEvery)) * unconfirmedEvery;
  return `person${index}@${domains[index % domains.length]}`;
}

/** The address of nobody, which differs by two letters from that of somebody at gmail.com. */
export function mistypedPerson(call: number): string {
  return unconfirmedPerson(call).replace(/@.*/, "@gmial.com");
}

/**
 * Fills Auth's tables as those of a big project. Needs the embedded server, whose superuser may leave triggers and foreign
 * keys alone: each row would fire them one by one.
 * @param progress told after each part how far it is.
 * @returns how long it took, in ms.
 */
export async function fillAuth(
  stack: Stack,
  { users, auditLogEntries }: Crowd,
  progress: (line: string) => void,
): Promise<number> {
  if (stack.socket === null) throw new StackError("Only the stack's own server can be filled.");
  const begun = performance.now();
  const sql = postgres({
    host: stack.socket.directory,
    port: stack.socket.port,
    user: "supabase_admin",
    database: "postgres",
    max: 1,
    onnotice: () => {},
    connection: { session_replication_role: "replica", synchronous_commit: "off", statement_timeout: 0 },
  });
  try {
    for (let from = 0; from < users; from += usersAtOnce) {
      await insertUsers(sql, from, Math.min(from + usersAtOnce, users));
      progress(`people: ${Math.min(from + usersAtOnce, users)} of ${users}`);
    }
    for (let from = 0; from < auditLogEntries; from += entriesAtOnce) {
      await insertAuditLog(sql, from, Math.min(from + entriesAtOnce, auditLogEntries), users);
      progress(`audit log: ${Math.min(from + entriesAtOnce, auditLogEntries)} of ${auditLogEntries}`);
    }
    await sql`vacuum (analyze) auth.users, auth.identities, auth.sessions, auth.audit_log_entries`;
  } finally {
    await sql.end({ timeout: 1 });
  }
  return performance.now() - begun;
}

async function insertUsers(sql: postgres.Sql, from: number, to: number): Promise<void> {
  await sql`
    insert into auth.users (
      instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, confirmation_token,
      confirmation_sent_at, recovery_token, email_change_token_new, email_change, raw_app_meta_data,
      raw_user_meta_data, created_at, updated_at
    )
    select
      '00000000-0000-0000-0000-000000000000',
      md5('person' || n)::uuid,
      'authenticated',
      'authenticated',
      'person' || n || '@' || split_part(${domainList}::text, ' ', 1 + n % ${domains.length}::integer),
      '$2a$10$' || repeat('x', 53),
      case when n % ${unconfirmedEvery}::integer > 0 then now() end,
      '',
      now(),
      '',
      '',
      '',
      '{"provider": "email", "providers": ["email"]}',
      '{}',
      now(),
      now()
    from generate_series(${from}::integer, ${to - 1}::integer) as n`;
  await sql`
    insert into auth.identities (provider_id, user_id, identity_data, provider, created_at, updated_at)
    select
      md5('person' || n),
      md5('person' || n)::uuid,
      jsonb_build_object(
        'email', 'person' || n || '@' || split_part(${domainList}::text, ' ', 1 + n % ${domains.length}::integer)
      ),
      'email',
      now(),
      now()
    from generate_series(${from}::integer, ${to - 1}::integer) as n`;
  await sql`
    insert into auth.sessions (id, user_id, created_at, updated_at)
    select md5('session' || n)::uuid, md5('person' || n)::uuid, now(), now()
    from generate_series(${from}::integer, ${to - 1}::integer, 5) as n`;
}

async function insertAuditLog(sql: postgres.Sql, from: number, to: number, users: number): Promise<void> {
  await sql`
    insert into auth.audit_log_entries (instance_id, id, payload, created_at, ip_address)
    select
      '00000000-0000-0000-0000-000000000000',
      md5('entry' || n)::uuid,
      json_build_object(
        'action', 'login',
        'actor_id', md5('person' || n % ${users}::integer)::uuid,
        'actor_username', 'person' || n % ${users}::integer,
        'actor_via_sso', false,
        'log_type', 'account'
      ),
      now() - n * interval '1 second',
      ''
    from generate_series(${from}::integer, ${to - 1}::integer) as n`;
}
