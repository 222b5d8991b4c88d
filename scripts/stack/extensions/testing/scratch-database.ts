import { randomBytes } from "node:crypto";
import postgres from "postgres";
import { inject } from "vitest";
import type { Connect } from "../connect.ts";
import { installExtensions } from "../install-extensions.ts";

/** A database of a test's own in the running stack's cluster, with the stand-ins in it, whatever the server has. */
export interface ScratchDatabase {
  readonly name: string;
  readonly connect: Connect;
  /** Logs in with up to ten connections, which `drop` closes. */
  logIn(user: string): postgres.Sql;
  drop(): Promise<void>;
}

/** Creates the database. Roles belong to the cluster, so they are the stack's. */
export async function createScratchDatabase(): Promise<ScratchDatabase> {
  const name = `scratch_${randomBytes(6).toString("hex")}`;
  const clients: postgres.Sql[] = [];
  const open = (user: string, database: string, applicationName: string, max: number): postgres.Sql => {
    const client = postgres({
      host: inject("socketDirectory"),
      port: inject("databasePort"),
      user,
      database,
      max,
      onnotice: () => {},
      connect_timeout: 10,
      connection: { application_name: applicationName },
    });
    clients.push(client);
    return client;
  };
  const admin = open("supabase_admin", "postgres", "test", 1);
  await admin`create database ${admin(name)} owner postgres`;
  const owner = open("supabase_admin", name, "test", 1);
  await owner`create schema extensions authorization postgres`;
  await owner`create extension pgcrypto with schema extensions`;
  await owner`grant usage on schema extensions to service_role`;
  await installExtensions(owner);
  return {
    name,
    connect: ({ user, database, applicationName }) => open(user, database, applicationName, 1),
    logIn: (user) => open(user, name, "test", 10),
    drop: async () => {
      await Promise.all(
        clients.filter((client) => client !== admin).map((client) => client.end({ timeout: 0 })),
      );
      await admin`drop database ${admin(name)} with (force)`;
      await admin.end();
    },
  };
}
