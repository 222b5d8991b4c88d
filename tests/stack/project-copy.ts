import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";

/** A copy of the project to start, break and kill. */
export interface ProjectCopy {
  directory: string;
  remove(): void;
}

const copied = ["scripts", "supabase", "package.json", "package-lock.json", "deno.json", "tsconfig.json"];

/** Copies the project as a clone would hold it; `node_modules` is hard-linked, which takes half a second. */
export function copyProject(root: string, parent: string): ProjectCopy {
  mkdirSync(parent, { recursive: true });
  const directory = mkdtempSync(join(parent, "copy-"));
  chmodSync(directory, 0o755); // as a clone: the user that runs Postgres may enter it
  for (const name of copied) cpSync(join(root, name), join(directory, name), { recursive: true });
  const modules = join(root, "node_modules");
  const linked = spawnSync("cp", ["-al", modules, join(directory, "node_modules")]);
  if (linked.status !== 0)
    cpSync(modules, join(directory, "node_modules"), { recursive: true, verbatimSymlinks: true });
  return {
    directory,
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** The processes whose command line names the directory: what a stack of this copy has left behind. */
export function processesOf(directory: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      const file = `/proc/${pid}/cmdline`;
      if (!existsSync(file)) return [];
      try {
        const command = readFileSync(file, "utf8").replaceAll("\0", " ").trim();
        return command.includes(directory) ? [`${pid} ${command}`] : [];
      } catch {
        return []; // it ended while we looked
      }
    });
}
