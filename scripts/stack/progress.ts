/** Tells a person what the stack is doing and how long it took. */
export interface Progress {
  /** Runs one step; prints its name and duration when it is done, or that it failed. */
  step<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** Prints a sentence of its own. */
  say(sentence: string): void;
}

/** Progress as lines of text: `  Postgres ................ 0.4 s`. */
export function createProgress(print: (line: string) => void): Progress {
  return {
    say: (sentence) => print(`  ${sentence}`),
    step: async (name, work) => {
      const begun = performance.now();
      const line = (end: string): void => print(`  ${`${name} `.padEnd(34, ".")} ${end}`);
      try {
        const result = await work();
        line(`${((performance.now() - begun) / 1000).toFixed(1)} s`);
        return result;
      } catch (error) {
        line("failed");
        throw error;
      }
    },
  };
}
