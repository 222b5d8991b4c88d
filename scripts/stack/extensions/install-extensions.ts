import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import type postgres from "postgres";
import { Parser } from "tar";

/** Where an extension came from: the server's own files, or this project's SQL and TypeScript in its place. */
export type ExtensionSource = "extension" | "stand-in";

interface StandIn {
  /** Name of the real extension. */
  extension: string;
  /** The schema whose presence says that the stand-in is there already. */
  schema: string;
  /** Files under `sql/`, in the order in which they run. */
  files: readonly string[];
  /** Files that run after the real extension as well as after the stand-in. */
  grants: readonly string[];
  /** The clause that says where the real extension's objects belong. */
  createClause: string;
}

const cron: StandIn = {
  extension: "pg_cron",
  schema: "cron",
  files: ["stand-in.sql", "schedule.sql", "cron.sql"],
  grants: ["cron-grants.sql"],
  createClause: "with schema pg_catalog",
};

const net: StandIn = {
  extension: "pg_net",
  schema: "net",
  files: ["net.sql"],
  grants: [],
  createClause: "with schema extensions",
};

const vault: StandIn = {
  extension: "supabase_vault",
  schema: "vault",
  files: ["stand-in.sql", "vault.sql"],
  grants: [],
  createClause: "",
};

/**
 * Installs pg_cron, pg_net and supabase_vault: the real one where the server has it and preloads its library (without
 * that none of the three works), else the stand-in. What is installed already is left as it is.
 *
 * @param sql A superuser client on the database of the stack, after `applyPlatform`.
 * @returns What each of them is now.
 * @throws Error that names the extension, with Postgres's error as its cause; nothing of that extension is left then.
 */
export async function installExtensions(
  sql: postgres.Sql,
): Promise<{ pgCron: ExtensionSource; pgNet: ExtensionSource; vault: ExtensionSource }> {
  return {
    pgCron: await install(sql, cron),
    pgNet: await install(sql, net),
    vault: await install(sql, vault),
  };
}

/**
 * Installs pgTAP into schema `extensions`: the server's own where it has one, else the SQL that npm carries.
 *
 * @param sql A superuser client. Functions in schema `extensions` are open to everyone, `postgres` included.
 */
export async function installPgtap(sql: postgres.Sql): Promise<ExtensionSource> {
  const [state] = await sql<{ installed: boolean; available: boolean; present: boolean }[]>`
    select
      exists (select from pg_catalog.pg_extension as ext where ext.extname = 'pgtap') as installed,
      exists (select from pg_catalog.pg_available_extensions as ext where ext.name = 'pgtap') as available,
      pg_catalog.to_regprocedure('extensions.plan(integer)') is not null as present
  `;
  if (state?.installed) return "extension";
  if (state?.present) return "stand-in";
  if (state?.available) {
    await sql`create extension pgtap with schema extensions`;
    return "extension";
  }
  const script = await readPgtapScript();
  await sql.begin(async (transaction) => {
    // The script names nothing with a schema and counts on being run with its own one first in the path.
    await transaction`set local search_path = extensions`;
    await transaction.unsafe(script);
  });
  return "stand-in";
}

async function install(sql: postgres.Sql, standIn: StandIn): Promise<ExtensionSource> {
  const { extension, schema } = standIn;
  const [state] = await sql<{ installed: boolean; usable: boolean; present: boolean }[]>`
    select
      exists (select from pg_catalog.pg_extension as ext where ext.extname = ${extension}) as installed,
      exists (
        select
        from pg_catalog.pg_available_extensions as ext
        where
          ext.name = ${extension}
          and ${extension} = any (
            pg_catalog.string_to_array(
              pg_catalog.replace(pg_catalog.current_setting('shared_preload_libraries'), ' ', ''),
              ','
            )
          )
          -- pg_cron lives in one database of a cluster.
          and (
            ${extension} <> 'pg_cron'
            or pg_catalog.current_setting('cron.database_name', true) = pg_catalog.current_database()
          )
      ) as usable,
      pg_catalog.to_regnamespace(${schema}) is not null as present
  `;
  if (state?.installed) return "extension";
  if (state?.present) return "stand-in";
  const source: ExtensionSource = state?.usable ? "extension" : "stand-in";
  const files = source === "extension" ? standIn.grants : [...standIn.files, ...standIn.grants];
  try {
    await sql.begin(async (transaction) => {
      if (source === "extension")
        await transaction.unsafe(`create extension ${extension} ${standIn.createClause}`);
      for (const file of files) {
        await transaction.unsafe(await readFile(new URL(`./sql/${file}`, import.meta.url), "utf8"));
      }
    });
  } catch (cause) {
    const what = source === "extension" ? extension : `the stand-in of ${extension}`;
    throw new Error(`${what} could not be installed.`, { cause });
  }
  return source;
}

/** The install script of the newest version in the package; it holds plain SQL only, no psql command and no placeholder. */
async function readPgtapScript(): Promise<string> {
  const entry = createRequire(import.meta.url).resolve("@electric-sql/pglite-pgtap");
  const archive = join(dirname(entry), "pgtap.tar.gz");
  const scripts = await readFromArchive(archive, /\/extension\/pgtap--\d+\.\d+\.\d+\.sql$/);
  const [name, script] = [...scripts].sort(([left], [right]) => left.localeCompare(right)).at(-1) ?? [];
  if (name === undefined || script === undefined)
    throw new Error(`${archive} holds no install script of pgTAP.`);
  // A script for `create extension` may begin with \echo … \quit, which stops psql users from running it by hand.
  return script.replace(/^\\.*$/gm, "");
}

/** The texts of the archive's files whose names match, by name. */
async function readFromArchive(archive: string, names: RegExp): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const compressed = await readFile(archive);
  await new Promise<void>((resolve, reject) => {
    const parser = new Parser({
      filter: (path) => names.test(path),
      onReadEntry: (entry) => {
        const chunks: Buffer[] = [];
        entry.on("data", (chunk: Buffer) => chunks.push(chunk));
        entry.on("end", () => found.set(entry.path, Buffer.concat(chunks).toString("utf8")));
      },
    });
    parser.on("end", resolve);
    parser.on("error", reject);
    Readable.from([compressed]).on("error", reject).pipe(parser);
  });
  return found;
}
