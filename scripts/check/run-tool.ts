import { spawn } from "node:child_process";

/** What a program left behind. */
export interface ToolResult {
  readonly status: number;
  /** Standard output and standard error in the order they came, without colours. */
  readonly output: string;
}

/** Runs a program in the project's root and waits for it. @throws when it cannot be started. */
export function runTool(
  program: string,
  args: readonly string[],
  options: { root: string; env: NodeJS.ProcessEnv },
): Promise<ToolResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.root,
      env: { ...options.env, NO_COLOR: "1", FORCE_COLOR: undefined },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    const collect = (chunk: string): void => {
      output += chunk;
    };
    child.stdout.setEncoding("utf8").on("data", collect);
    child.stderr.setEncoding("utf8").on("data", collect);
    child.on("error", reject);
    child.on("close", (code) => resolve({ status: code ?? 1, output }));
  });
}
