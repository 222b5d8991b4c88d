import { createClient } from "@supabase/supabase-js";

/** The demo's members of the runbook; all share the demo's password. */
const members = {
  ADMIN: "admin@demo.example",
  OPERATOR: "operator@demo.example",
  VIEWER: "viewer@demo.example",
} as const;

/** The password of every person of the demo school. */
export const demoPassword = "demo-password-1";

/**
 * Signs the demo's members in.
 * @returns `RUNBOOK_ADMIN_TOKEN`, `RUNBOOK_OPERATOR_TOKEN`, `RUNBOOK_VIEWER_TOKEN`; without those who cannot sign in (a
 *   given database may hold other people).
 */
export async function demoTokens(url: string, publishableKey: string): Promise<Record<string, string>> {
  const tokens = await Promise.all(
    Object.entries(members).map(async ([name, email]) => {
      const client = createClient(url, publishableKey, {
        auth: { persistSession: false, autoRefreshToken: false },
      });
      const { data } = await client.auth.signInWithPassword({ email, password: demoPassword });
      return data.session === null ? [] : [[`RUNBOOK_${name}_TOKEN`, data.session.access_token] as const];
    }),
  );
  return Object.fromEntries(tokens.flat());
}
