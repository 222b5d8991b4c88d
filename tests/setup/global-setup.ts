import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { findFreePorts } from "../../scripts/stack/ports.ts";
import { createProgress } from "../../scripts/stack/progress.ts";
import { readSettings } from "../../scripts/stack/settings.ts";
import { startStack } from "../../scripts/stack/stack.ts";
import { removeAbandoned } from "../../scripts/stack/state-directory.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** Base of the API gateway. */
    url: string;
    /** Login as `postgres`. */
    databaseUrl: string;
    /** Private socket of the embedded server, which lets the tests log in as any role. */
    socketDirectory: string;
    databasePort: number;
    publishableKey: string;
    secretKey: string;
    /** Auth's private ES256 JWK as JSON, for making tokens that must be refused. */
    signingKey: string;
    receiverUrl: string;
    /** Where the functions write their log lines. */
    functionsLog: string;
    /** The project's directory. */
    root: string;
    /** Where the random cases of access begin; `ACCESS_SEED` gives another. */
    accessSeed: number;
    /** How many random cases of access there are at least; `ACCESS_CASES` gives another number. */
    accessCases: number;
  }
}

/** Starts a stack of its own on free ports, so that the tests can run beside `npm start`. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const root = join(import.meta.dirname, "..", "..");
  const parent = join(root, ".stack");
  mkdirSync(parent, { recursive: true });
  removeAbandoned(parent);
  const stateDirectory = join(parent, `temporary-${process.pid}-tests`);
  const { postgresBin } = readSettings(process.env);
  const stack = await startStack({
    root,
    stateDirectory,
    temporary: true,
    ports: await findFreePorts(),
    settings: { basePort: 0, databaseUrl: undefined, auth: undefined, postgresBin },
    pgtap: true,
    progress: createProgress((line) => console.log(line)),
    onCrash: (sentence) => {
      console.error(sentence);
    },
  });
  project.provide("url", stack.url);
  project.provide("databaseUrl", stack.databaseUrl);
  project.provide("socketDirectory", stack.socket?.directory ?? "");
  project.provide("databasePort", stack.socket?.port ?? 0);
  project.provide("publishableKey", stack.keys.publishableKey);
  project.provide("secretKey", stack.keys.secretKey);
  project.provide("signingKey", JSON.stringify(stack.keys.signingKey));
  project.provide("receiverUrl", stack.receiverUrl);
  project.provide("functionsLog", stack.functionsLog);
  project.provide("root", root);
  project.provide("accessSeed", wholeNumber("ACCESS_SEED", 1));
  project.provide("accessCases", wholeNumber("ACCESS_CASES", 2000));
  return () => stack.stop();
}

function wholeNumber(name: string, otherwise: number): number {
  const text = process.env[name] ?? "";
  if (text === "") return otherwise;
  if (!/^\d{1,9}$/.test(text)) throw new Error(`${name} is ${text}, which is not a whole number.`);
  return Number(text);
}
