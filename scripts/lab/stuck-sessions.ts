import type { Lab } from "./lab.ts";

/** How long what was sent may take to be seen waiting. */
const settleMs = 60_000;

/** Requests of the API that wait in the queue; with the others of the lab some fifty sessions wait. */
const requests = 48;

/** A quiet reader in a transaction, an ALTER TABLE behind it, and the API's requests behind that. */
export async function queueBehindDdl(lab: Lab): Promise<void> {
  await lab.sql.unsafe("create table shop.queue (id bigint primary key)");
  await lab.sql.unsafe("grant select on shop.queue to authenticated");
  await lab.open("postgres", "quiet reader").unsafe("begin; select * from shop.queue");
  leave(lab, "postgres", "migration", "alter table shop.queue add column note text");
  await untilWaiting(lab, "migration");
  for (let request = 1; request <= requests; request += 1) {
    leave(lab, "authenticator", `request ${request}`, "set role authenticated; select * from shop.queue");
  }
  await untilWaiting(lab, `request ${requests}`);
}

/** Three writers, each waiting for a row that the one before holds. */
export async function rowLockChain(lab: Lab): Promise<void> {
  await lab.sql.unsafe("create table shop.seats (id bigint primary key, taken boolean not null)");
  await lab.sql.unsafe("insert into shop.seats values (1, false), (2, false)");
  await lab.open("postgres", "first writer").unsafe("begin; update shop.seats set taken = true where id = 1");
  const second = lab.open("postgres", "second writer");
  await second.unsafe("begin; update shop.seats set taken = true where id = 2");
  second.unsafe("update shop.seats set taken = true where id = 1").catch(() => {});
  await untilWaiting(lab, "second writer");
  leave(lab, "postgres", "third writer", "update shop.seats set taken = false where id = 2");
  await untilWaiting(lab, "third writer");
}

/** Sends statements that will not come back; the end of the lab ends them. */
export function leave(lab: Lab, user: string, applicationName: string, statements: string): void {
  lab
    .open(user, applicationName)
    .unsafe(statements)
    .catch(() => {});
}

async function untilWaiting({ platform }: Lab, applicationName: string): Promise<void> {
  const deadline = Date.now() + settleMs;
  while (Date.now() < deadline) {
    const [row] = await platform<{ waits: boolean }[]>`
      select exists (
        select
        from pg_catalog.pg_stat_activity as act
        where act.application_name = ${applicationName}
          and act.wait_event_type = 'Lock'
      ) as waits`;
    if (row?.waits === true) return;
    await new Promise((wake) => setTimeout(wake, 20));
  }
  throw new Error(`The lab's session "${applicationName}" did not come to wait.`);
}
