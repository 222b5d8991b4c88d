import { z } from "zod";
import { StackError } from "./stack-error.ts";

/** What the environment may say about the stack; docs/stack.md lists the same names. */
export interface StackSettings {
  /** First of the ports: API here, database + 1, receiver + 3, as `supabase start` spaces them. */
  basePort: number;
  /** `STACK_DATABASE_URL`: a login as `postgres` on a real Supabase database, used instead of the embedded one. */
  databaseUrl: string | undefined;
  /** `STACK_AUTH_URL`: a real Auth server, used instead of the stand-in, with its two keys. */
  auth: { url: string; publishableKey: string; secretKey: string } | undefined;
  /** `STACK_POSTGRES_BIN`: the `bin` directory of another Postgres for the embedded one's place. */
  postgresBin: string | undefined;
}

const url = (protocols: string[]): z.ZodType<string> =>
  z.string().refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol), {
    error: `must be a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(" or ")}`,
  });

const environment = z.object({
  STACK_PORT: z.coerce
    .number({ error: "must be a number" })
    .int("must be a whole number")
    .min(1024, "must be at least 1024")
    .max(65532, "must be at most 65532")
    .default(54321),
  STACK_DATABASE_URL: url(["postgresql:", "postgres:"]).optional(),
  STACK_AUTH_URL: url(["http:", "https:"]).optional(),
  STACK_PUBLISHABLE_KEY: z.string().optional(),
  STACK_SECRET_KEY: z.string().optional(),
  STACK_POSTGRES_BIN: z.string().optional(),
});

/**
 * Reads the stack's settings; an empty variable counts as absent.
 * @throws StackError that names the variable and what is wrong with it.
 */
export function readSettings(env: Record<string, string | undefined>): StackSettings {
  const given = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ""),
  );
  const parsed = environment.safeParse(given);
  if (!parsed.success) {
    const sentences = parsed.error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}.`);
    throw new StackError(sentences.join(" "), "docs/stack.md lists the settings.");
  }
  const values = parsed.data;
  return {
    basePort: values.STACK_PORT,
    databaseUrl: values.STACK_DATABASE_URL,
    auth: authSettings(values),
    postgresBin: values.STACK_POSTGRES_BIN,
  };
}

function authSettings(values: z.infer<typeof environment>): StackSettings["auth"] {
  if (values.STACK_AUTH_URL === undefined) return undefined;
  if (values.STACK_PUBLISHABLE_KEY === undefined || values.STACK_SECRET_KEY === undefined) {
    throw new StackError(
      "STACK_AUTH_URL is set, but STACK_PUBLISHABLE_KEY or STACK_SECRET_KEY is not.",
      "A real Auth server accepts only its own project's keys: give both, from the project's API settings.",
    );
  }
  return {
    url: values.STACK_AUTH_URL.replace(/\/+$/, ""),
    publishableKey: values.STACK_PUBLISHABLE_KEY,
    secretKey: values.STACK_SECRET_KEY,
  };
}
