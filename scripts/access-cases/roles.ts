import { quoteName } from "./quote.ts";
import type { Random } from "./random.ts";

/** The roles of a world, by what they are to `authenticated` and `anon`. Unquoted. */
export interface Roles {
  readonly statements: readonly string[];
  /** Whom a policy may be for, as `create policy` writes it. */
  readonly targets: readonly string[];
  /** Who may own a table besides postgres, unquoted. */
  readonly owners: readonly string[];
  /** A role of the application's own that a token may name. */
  readonly own: string;
  /** Whom a grant may be for, unquoted; null is everyone. */
  readonly grantees: readonly (string | null)[];
}

/**
 * Makes a team whose rights authenticated inherits, a guild that hangs on the team, a stranger, and a role that tokens may name.
 * @param version of the server, 15 or more: since 16 a membership itself says whether it is inherited.
 */
export function makeRoles(random: Random, version: number): Roles {
  const team = random.pick(["case_team", 'Case "Team"']);
  const [guild, stranger, own] = ["case_guild", "case_stranger", "case_own"];
  const member = random.pick(["authenticated", "authenticated", "anon"]);
  const inherits = (share: number): string => (random.chance(share) ? "inherit" : "noinherit");
  const option = version >= 16 && random.chance(0.3) ? " with inherit false" : "";
  return {
    statements: [
      `create role ${quoteName(team)} nologin ${inherits(0.7)}`,
      `create role ${guild} nologin`,
      `create role ${stranger} nologin`,
      `create role ${own} nologin ${inherits(0.8)}`,
      `grant ${quoteName(team)} to ${member}${option}`,
      `grant ${guild} to ${quoteName(team)}`,
      ...(random.chance(0.5) ? [`grant authenticated to ${own}`] : []),
      // The API's login takes it, and so must whoever looks through its eyes.
      `grant ${own} to authenticator`,
      `grant ${own} to postgres`,
      // To give tables to them.
      `grant ${quoteName(team)}, ${guild}, ${stranger} to postgres`,
    ],
    targets: ["public", "anon", "authenticated", "authenticated", quoteName(team), guild, stranger, own],
    owners: ["anon", "authenticated", team, guild, stranger, own],
    own,
    grantees: [null, "anon", "authenticated", team, guild, own],
  };
}
