// Runs one of the project's TypeScript programs: `node scripts/run.mjs <file.ts> [arguments]`.
// Plain JavaScript, because it runs before anything is installed: it installs the Node packages of the
// lock file when they are missing or belong to another lock file, so `npm start` and `npm test` are each
// the only command that a fresh clone needs. The program then runs in this very process.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [file, ...rest] = process.argv.slice(2);
if (file === undefined) fail("Usage: node scripts/run.mjs <file.ts> [arguments]");
if (Number(process.versions.node.split(".")[0]) < 20) {
  fail(`Node ${process.versions.node} is too old: supabase-runbook needs Node 20 or newer.`);
}

const stamp = join(root, "node_modules", ".installed-lock");
const lock = createHash("sha256")
  .update(readFileSync(join(root, "package-lock.json")))
  .digest("hex");
if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== lock) {
  console.log("Installing the Node packages of package-lock.json (once, about 400 MB) …");
  // `install --no-save` and not `ci`: registries that mirror only some platforms lack optional packages that `ci` insists on.
  const npm = spawnSync("npm", ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  if (npm.error) fail(`npm could not be started: ${npm.error.message}. Install npm, which comes with Node.`);
  if (npm.status !== 0) fail("npm could not install the packages; its own message stands above.");
  writeFileSync(stamp, lock);
}

process.chdir(root);
process.argv = [process.argv[0], join(root, file), ...rest];
const { register } = await import("tsx/esm/api");
register();
await import(pathToFileURL(join(root, file)).href);

/** @param {string} sentence @returns {never} */
function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}
