import { readFile } from "node:fs/promises";

const factsDirectory = new URL("./facts/", import.meta.url);

/** What the facts are about; each topic is a file in `facts/` and a query in `read-catalog.ts`. */
export const topics = [
  "roles",
  "role-settings",
  "memberships",
  "schemas",
  "schema-acls",
  "default-privileges",
  "extensions",
  "publications",
  "auth-enums",
  "auth-tables",
  "auth-table-acls",
  "auth-columns",
  "auth-indexes",
  "auth-functions",
  "auth-function-acls",
  "platform-relations",
  "platform-relation-acls",
  "platform-columns",
  "platform-functions",
  "platform-function-acls",
] as const;

/** One of the {@link topics}. */
export type Topic = (typeof topics)[number];

/** One fact, or one finding in a catalog: an object's name and what is true of it, both in one canonical spelling. */
export interface Fact {
  name: string;
  value: string;
}

/** The rows of every topic. */
export type FactsByTopic = ReadonlyMap<Topic, readonly Fact[]>;

/**
 * Reads the facts about Supabase's platform that hold for one major version of Postgres.
 *
 * A facts file is a table of tabs with a header: name, value and, where versions differ, the servers for which the
 * row holds (`15`, or `16+` for 16 and newer).
 *
 * @throws Error when a file is malformed or names an object twice.
 */
export async function readFacts(serverMajor: number): Promise<FactsByTopic> {
  const entries = await Promise.all(
    topics.map(async (topic): Promise<[Topic, Fact[]]> => {
      const text = await readFile(new URL(`${topic}.tsv`, factsDirectory), "utf8");
      return [topic, parseFacts(text, topic, serverMajor)];
    }),
  );
  return new Map(entries);
}

/** Parses one facts file; see {@link readFacts}. */
export function parseFacts(text: string, topic: string, serverMajor: number): Fact[] {
  const facts = new Map<string, Fact>();
  for (const line of text.split("\n").slice(1)) {
    if (line === "") continue;
    const [name, value, servers, ...rest] = line.split("\t");
    if (name === undefined || value === undefined || rest.length > 0) {
      throw new Error(`Malformed fact in ${topic}: ${line}`);
    }
    if (!holdsFor(servers, serverMajor)) continue;
    if (facts.has(name)) throw new Error(`Two facts in ${topic} about ${name}`);
    facts.set(name, { name, value });
  }
  return [...facts.values()];
}

function holdsFor(servers: string | undefined, serverMajor: number): boolean {
  if (servers === undefined || servers === "") return true;
  if (!/^\d+\+?$/.test(servers)) throw new Error(`Unknown range of servers: ${servers}`);
  const major = Number.parseInt(servers, 10);
  return servers.endsWith("+") ? serverMajor >= major : serverMajor === major;
}
