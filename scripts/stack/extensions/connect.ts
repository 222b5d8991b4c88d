import { setTimeout as sleep } from "node:timers/promises";
import postgres from "postgres";

/** Makes a client of one connection at most, which logs in without a password; only its options are used. */
export type Connect = (options: { user: string; database: string; applicationName: string }) => postgres.Sql;

/** What may happen to a connection from outside. */
export interface ConnectionEvents {
  /** A notification arrived on a channel that the connection listens on. */
  notified: (channel: string) => void;
  /** The connection is gone, whoever closed it; the next statement would make another one. */
  closed: () => void;
}

/** Makes a client for one session: a single connection that lives as long as it is wanted. */
export function openClient(
  connect: Connect,
  login: { user: string; database: string; applicationName: string },
  events: ConnectionEvents = { notified: () => {}, closed: () => {} },
): postgres.Sql {
  const { host, port, user, database, connection, connect_timeout } = connect(login).options;
  const options = {
    host: host[0],
    port: port[0],
    user,
    database,
    connection,
    connect_timeout,
    max: 1,
    // The client would end its connection by itself after half an hour or more.
    max_lifetime: null,
    // It would ask for the array types before its first statement, and when that is interrupted it leaves a rejected
    // promise that nobody can handle.
    fetch_types: false,
    onnotice: () => {},
    onnotify: events.notified,
    onclose: events.closed,
  };
  return postgres(options);
}

/**
 * Ends a client that was used, within a second or so. Ended while it logs in, be it for the first time or because it lost
 * its connection, a client would make that connection all the same and keep it; so a last statement first tells that it
 * is in.
 */
export async function closeClient(client: postgres.Sql): Promise<void> {
  const settled = client`select`.catch(() => {}); // without a server there is nothing to wait for
  await Promise.race([settled, sleep(1000)]);
  await client.end({ timeout: 0 });
}
