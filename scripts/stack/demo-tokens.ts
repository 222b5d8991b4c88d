import { z } from "zod";

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
      const answer = await fetch(`${url}/auth/v1/token?grant_type=password`, {
        method: "POST",
        headers: { apikey: publishableKey, "content-type": "application/json" },
        body: JSON.stringify({ email, password: demoPassword }),
      });
      if (!answer.ok) return [];
      const session = z.object({ access_token: z.string() }).parse(await answer.json());
      return [[`RUNBOOK_${name}_TOKEN`, session.access_token] as const];
    }),
  );
  return Object.fromEntries(tokens.flat());
}
