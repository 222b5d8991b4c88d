import { createRequire } from "node:module";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { findDeno } from "../stack/binaries.ts";
import type { Finding } from "./finding.ts";
import { runTool, type ToolResult } from "./run-tool.ts";

/** What the steps that run a program need to know. */
export interface ToolContext {
  readonly root: string;
  readonly env: NodeJS.ProcessEnv;
  /** The Node program that runs the tools written in JavaScript. */
  readonly node: string;
}

/** Biome over files of TypeScript, JavaScript and JSON; with `fix` it writes what it can repair. */
export async function checkWithBiome(
  context: ToolContext,
  fix: boolean,
  files: readonly string[],
): Promise<Finding[]> {
  if (files.length === 0) return [];
  const result = await runNodeTool(context, "@biomejs/biome", "bin/biome", [
    "check",
    ...(fix ? ["--write"] : []),
    "--reporter=github",
    "--max-diagnostics=none",
    "--diagnostic-level=warn",
    "--error-on-warnings",
    "--no-errors-on-unmatched",
    ...files,
  ]);
  return readFindings(result, () => readBiomeOutput(result.output, context.root));
}

/** TypeScript over everything that tsconfig.json names. */
export async function checkTypes(context: ToolContext): Promise<Finding[]> {
  const result = await runNodeTool(context, "typescript", "bin/tsc", ["-p", ".", "--pretty", "false"]);
  return readFindings(result, () => readTypeScriptOutput(result.output));
}

/** Deno over the files that it runs and tsc does not see. Packages come from node_modules, so it needs no network. */
export async function checkWithDeno(context: ToolContext, files: readonly string[]): Promise<Finding[]> {
  if (files.length === 0) return [];
  const cache = join(context.root, "node_modules", ".cache", "deno");
  const result = await runTool(findDeno(), ["check", "--quiet", ...files], {
    root: context.root,
    env: { ...context.env, DENO_DIR: cache, DENO_NO_UPDATE_CHECK: "1" },
  });
  return readFindings(result, () => readDenoOutput(result.output, context.root));
}

/** The findings in what `biome check --reporter=github` printed. */
export function readBiomeOutput(output: string, root: string): Finding[] {
  return [...output.matchAll(/^::(?:error|warning) title=([^,]*),file=([^,]*),line=(\d+)[^:]*::(.*)$/gm)].map(
    ([, title = "", file = "", line = "0", message = ""]) => ({
      file: belowRoot(file, root),
      line: title === "format" ? 0 : Number(line),
      message:
        title === "format"
          ? "The file is not in format. Run `npm run format`."
          : decodePercent(message).trim(),
      rule: `biome ${title}`,
    }),
  );
}

/** The findings in what `tsc --pretty false` printed; the lines that explain one belong to it. */
export function readTypeScriptOutput(output: string): Finding[] {
  return [...output.matchAll(/^(\S.*?)\((\d+),\d+\): error (TS\d+): (.*(?:\n {2}.*)*)/gm)].map(
    ([, file = "", line = "0", rule = "", message = ""]) => ({
      file: file.replaceAll("\\", "/"),
      line: Number(line),
      message: message.replace(/\s*\n\s*/g, " "),
      rule,
    }),
  );
}

/** The findings in what `deno check` printed. */
export function readDenoOutput(output: string, root: string): Finding[] {
  return [
    ...stripVTControlCharacters(output).matchAll(
      /^(?:(TS\d+) \[ERROR\]|error): ([\s\S]*?)^\s+at (file:\S+?):(\d+):\d+$/gm,
    ),
  ].map(([, rule = "deno", message = "", url = "", line = "0"]) => ({
    file: belowRoot(fileURLToPath(url), root),
    line: Number(line),
    message: (message.split("\n", 1)[0] ?? "").trim(),
    rule,
  }));
}

function readFindings(result: ToolResult, read: () => Finding[]): Finding[] {
  if (result.status === 0) return [];
  const findings = read();
  if (findings.length > 0) return findings;
  // A failure in a form that is not known is shown whole rather than lost.
  return [{ file: "", line: 0, message: result.output.trim() || `It ended with status ${result.status}.` }];
}

function runNodeTool(
  context: ToolContext,
  name: string,
  script: string,
  args: readonly string[],
): Promise<ToolResult> {
  const require = createRequire(join(context.root, "package.json"));
  const directory = dirname(require.resolve(`${name}/package.json`));
  return runTool(context.node, [join(directory, script), ...args], context);
}

function belowRoot(file: string, root: string): string {
  return relative(root, file).split(sep).join("/");
}

/** GitHub's commands write line ends and percent signs as %0A, %0D and %25. */
function decodePercent(text: string): string {
  return text.replaceAll("%0A", " ").replaceAll("%0D", "").replaceAll("%25", "%");
}
