import * as z from "zod";
import { answerSwitch } from "./answer-switch.ts";
import { findProblems } from "./catalog.ts";
import { addMember, listMembers, removeMember } from "./database.ts";
import { createEndpoint, type Endpoint, type EndpointParts } from "./endpoint.ts";

const email = z.string().min(1).max(320);
const schema = z.discriminatedUnion(
  "action",
  [
    z.strictObject({ action: z.literal("add"), email, role: z.enum(["viewer", "operator", "admin"]) }),
    z.strictObject({ action: z.literal("remove"), email }),
  ],
  { error: "must be one of add, remove" },
);

/**
 * The endpoint `members`: `GET` lists them; `POST` of `{ action: "add", email, role }` adds a person or changes their
 * role, `{ action: "remove", email }` removes them. For admins.
 */
export function serveMembers(parts: Partial<EndpointParts> = {}): Endpoint {
  return createEndpoint(
    {
      name: "members",
      methods: ["GET", "POST"],
      answer: (exchange) =>
        answerSwitch(exchange, {
          read: listMembers,
          find: (body) => findProblems(schema, body),
          set: async (transaction, body) => {
            const asked = schema.parse(body);
            if (asked.action === "remove")
              return { ...asked, user_id: await removeMember(transaction, asked.email) };
            return { ...asked, user_id: await addMember(transaction, asked.email, asked.role) };
          },
        }),
    },
    parts,
  );
}
