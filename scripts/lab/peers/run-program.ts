import { spawn } from "node:child_process";

/** What a program printed, and how it ended. */
export interface ProgramResult {
  /** Standard output and error, in this order. */
  output: string;
  tookMs: number;
  /** It did not end by itself within its time. */
  hung: boolean;
  /** Null when it was ended. */
  exitCode: number | null;
}

/**
 * Runs a program to its end, at most so long; its whole process group is ended then, and only it.
 * @throws Error when it cannot be started.
 */
export function runProgram(
  program: string,
  args: readonly string[],
  { limitMs, env }: { limitMs: number; env: Record<string, string> },
): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    const chunks: { out: string[]; err: string[] } = { out: [], err: [] };
    let hung = false;
    const limit = setTimeout(() => {
      hung = true;
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    }, limitMs);
    child.stdout.setEncoding("utf8").on("data", (text: string) => chunks.out.push(text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => chunks.err.push(text));
    child.once("error", (error) => {
      clearTimeout(limit);
      reject(error);
    });
    child.once("close", (exitCode) => {
      clearTimeout(limit);
      resolve({
        output: [...chunks.out, ...chunks.err].join(""),
        tookMs: performance.now() - begun,
        hung,
        exitCode,
      });
    });
  });
}
