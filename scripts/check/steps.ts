import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadModule } from "libpg-query";
import { checkSql } from "./check-sql.ts";
import { checksPage, compareChecksPage, renderChecksPage } from "./compare/checks-page.ts";
import { compareErrorPage } from "./compare/error-page.ts";
import { compareFunctionsConfig } from "./compare/functions-config.ts";
import { compareIssuePages } from "./compare/issue-pages.ts";
import { findMentions } from "./compare/mentions.ts";
import { comparePackageVersions } from "./compare/package-versions.ts";
import { compareRemediationPage } from "./compare/remediation-page.ts";
import { findSecrets } from "./compare/secrets.ts";
import { compareVersions } from "./compare/versions.ts";
import type { Finding } from "./finding.ts";
import { listProjectFiles, type ProjectFile, readProjectFiles } from "./project-files.ts";
import { checkTypes, checkWithBiome, checkWithDeno, type ToolContext } from "./tools.ts";

/** One part of the check, with what it found. */
export interface Step {
  readonly name: string;
  run(): Promise<readonly Finding[]>;
}

/**
 * The parts of the check in their order. With files named, only what can judge single files: Biome, the SQL linter,
 * mentions and secrets.
 */
export function planSteps(context: ToolContext, fix: boolean, named: readonly string[]): Step[] {
  const { root } = context;
  const all = listProjectFiles(root);
  const isNamed = named.length > 0;
  const files = isNamed ? named : all;
  const sqlFiles = files.filter((path) => path.endsWith(".sql"));
  // Biome would also pad the tables of Markdown to the width of their longest cell.
  const biomeFiles = files.filter((path) => /\.(?:[cm]?[jt]s|jsonc?)$/.test(path));
  const denoFiles = all.filter((path) =>
    /^supabase\/functions\/[^/_][^/]*\/index\.ts$|\.deno\.ts$/.test(path),
  );
  const biome: Step = { name: "biome", run: () => checkWithBiome(context, fix, biomeFiles) };
  const sql: Step = { name: "sql", run: () => checkSql(root, sqlFiles, fix) };
  const texts = (): Step[] => [
    { name: "mentions", run: async () => findMentions(readProjectFiles(root, files)) },
    { name: "secrets", run: async () => findSecrets(readProjectFiles(root, files)) },
  ];
  if (isNamed) {
    return [...(biomeFiles.length > 0 ? [biome] : []), ...(sqlFiles.length > 0 ? [sql] : []), ...texts()];
  }
  return [
    biome,
    { name: "types", run: () => checkTypes(context) },
    { name: "deno", run: () => checkWithDeno(context, denoFiles) },
    sql,
    {
      name: "package versions",
      run: async () => comparePackageVersions(read(root, "package.json"), read(root, "deno.json")),
    },
    {
      name: "functions config",
      run: async () => compareFunctionsConfig(read(root, "supabase/config.toml"), functionFolders(all)),
    },
    { name: "version", run: () => checkVersions(root, all) },
    { name: "docs", run: () => checkDocs(root, all, fix) },
    ...texts(),
  ];
}

async function checkVersions(root: string, paths: readonly string[]): Promise<Finding[]> {
  await loadModule();
  const carried = read(root, "supabase/functions/_shared/version.ts");
  return compareVersions(read(root, "package.json"), carried, readMigrations(root, paths));
}

async function checkDocs(root: string, paths: readonly string[], fix: boolean): Promise<Finding[]> {
  await loadModule();
  const migrations = readMigrations(root, paths);
  if (fix) writeFileSync(join(root, checksPage), renderChecksPage(migrations, read(root, checksPage)));
  const pages = readProjectFiles(
    root,
    paths.filter((path) => /^docs\/issues\/[^/]+\.md$/.test(path)),
  );
  const errors = read(root, "supabase/functions/_shared/errors.ts");
  return [
    ...compareErrorPage(errors, read(root, "docs/errors.md")),
    ...compareChecksPage(migrations, read(root, checksPage)),
    ...compareIssuePages(migrations, pages),
    ...compareRemediationPage(migrations, read(root, "docs/remediations.md")),
  ];
}

function readMigrations(root: string, paths: readonly string[]): ProjectFile[] {
  return readProjectFiles(
    root,
    paths.filter((path) => /^supabase\/migrations\/[^/]+\.sql$/.test(path)),
  );
}

/** The endpoints: folders of supabase/functions with an index.ts. */
function functionFolders(paths: readonly string[]): string[] {
  return paths.flatMap((path) => /^supabase\/functions\/([^/]+)\/index\.ts$/.exec(path)?.[1] ?? []);
}

function read(root: string, path: string): string {
  const file = join(root, path);
  return existsSync(file) ? readFileSync(file, "utf8") : "";
}
