import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { afterAll, inject } from "vitest";
import { z } from "zod";
import type { Mail } from "./auth-context.ts";
import { createAuthServer } from "./auth-server.ts";
import type { AuthSettings } from "./auth-settings.ts";
import { NoWebSocket } from "./no-web-socket.ts";
import { readSigningKey, type SigningKey, signToken } from "./signing-key.ts";

const clientOptions = {
  auth: { persistSession: false, autoRefreshToken: false },
  realtime: { transport: NoWebSocket },
};

/** An address that no other test uses. */
export function newEmail(name: string): string {
  return `${name}.${crypto.randomUUID().slice(0, 8)}@test.example`;
}

/** supabase-js as an application uses it. */
export function appClient(): SupabaseClient {
  return createClient(inject("url"), inject("publishableKey"), clientOptions);
}

/** supabase-js with the secret key. */
export function adminClient(): SupabaseClient {
  return createClient(inject("url"), inject("secretKey"), clientOptions);
}

/** A login as `postgres`, closed after the file's tests. */
export function testDatabase(): postgres.Sql {
  const sql = postgres(inject("databaseUrl"), { max: 4, onnotice: () => {} });
  afterAll(() => sql.end());
  return sql;
}

/** The stack's own signing key. */
export function stackSigningKey(): SigningKey {
  return readSigningKey(JSON.parse(inject("signingKey")));
}

/** A person who has confirmed the address. */
export async function addPerson(email: string, password = "a good password"): Promise<string> {
  const { data, error } = await adminClient().auth.admin.createUser({ email, password, email_confirm: true });
  if (error !== null) throw error;
  return data.user.id;
}

/** A request to Auth past supabase-js. */
export async function callAuth(
  path: string,
  init: { method?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<Response> {
  return fetch(`${inject("url")}/auth/v1${path}`, {
    method: init.method ?? (init.body === undefined ? "GET" : "POST"),
    headers: { apikey: inject("publishableKey"), "content-type": "application/json", ...init.headers },
    ...(init.body === undefined
      ? {}
      : { body: typeof init.body === "string" ? init.body : JSON.stringify(init.body) }),
    redirect: "manual",
  });
}

/** Status and code of an answer in the old shape of errors. supabase-js keeps only the status of a 5xx. */
export async function refusal(response: Response): Promise<{ status: number; code: unknown }> {
  const { status, code } = await failure(response);
  return { status, code };
}

/** Like {@link refusal}, with the message. */
export async function failure(
  response: Response,
): Promise<{ status: number; code: unknown; message: unknown }> {
  const body = z.record(z.string(), z.unknown()).parse(await response.json());
  return { status: response.status, code: body["error_code"], message: body["msg"] };
}

const mailSchema = z.object({
  service: z.string(),
  body: z.object({
    to: z.string(),
    subject: z.string(),
    kind: z.enum(["signup", "recovery", "email_change", "magiclink", "invite"]),
    token: z.string(),
    tokenHash: z.string(),
    link: z.string(),
  }),
});

/** The mails that the receiver got for this address, oldest first. */
export async function mailsTo(email: string): Promise<Mail[]> {
  const response = await fetch(`${inject("receiverUrl")}/requests?service=email`);
  const received = z.array(z.unknown()).parse(await response.json());
  return received.flatMap((item) => {
    const mail = mailSchema.safeParse(item);
    return mail.success && mail.data.body.to === email ? [mail.data.body] : [];
  });
}

/** The newest mail for this address. */
export async function lastMailTo(email: string): Promise<Mail> {
  const mail = (await mailsTo(email)).at(-1);
  if (mail === undefined) throw new Error(`No mail for ${email}.`);
  return mail;
}

/** The stand-in in the test's own process, for settings and times that the running stack has not. */
export interface LocalAuth {
  client: SupabaseClient;
  admin: SupabaseClient;
  mails: Mail[];
  reports: string[];
  /** Moves this server's clock. */
  travel(seconds: number): void;
  /** A request past supabase-js. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** A POST past supabase-js. */
  post(path: string, body: unknown): Promise<Response>;
}

/** Makes a server on the stack's database. */
export async function localAuth(sql: postgres.Sql, settings: Partial<AuthSettings> = {}): Promise<LocalAuth> {
  const mails: Mail[] = [];
  const reports: string[] = [];
  let offset = 0;
  const now = () => new Date(Date.now() + offset);
  const signingKey = stackSigningKey();
  const server = createAuthServer({
    sql,
    url: "http://auth.test/auth/v1",
    signingKey,
    sendMail: async (mail) => {
      mails.push(mail);
    },
    settings,
    now,
    report: (line) => reports.push(line),
  });
  const send = (input: string | URL | Request, init?: RequestInit) => {
    const request = new Request(input, init);
    const url = request.url.replace("http://auth.test/auth/v1", "http://auth.test");
    return server.fetch(new Request(url, request));
  };
  const options = { ...clientOptions, global: { fetch: send } };
  const adminToken = await signToken(signingKey, { role: "service_role" }, 365 * 86_400);
  return {
    client: createClient("http://auth.test", "no-key", options),
    admin: createClient("http://auth.test", adminToken, options),
    mails,
    reports,
    travel: (seconds) => {
      offset += seconds * 1000;
    },
    fetch: (path, init) => send(`http://auth.test${path}`, init),
    post: (path, body) => send(`http://auth.test${path}`, { method: "POST", body: JSON.stringify(body) }),
  };
}
