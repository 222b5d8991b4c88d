import * as z from "zod";
import { answerSwitch } from "./answer-switch.ts";
import { findProblems } from "./catalog.ts";
import { freeze, readFreeze, unfreeze } from "./database.ts";
import { createEndpoint, type Endpoint, type EndpointParts } from "./endpoint.ts";

const schema = z.strictObject({
  freeze: z.boolean(),
  reason: z.string(),
  until: z.iso
    .datetime({ offset: true, error: "must be a time with its zone, such as 2026-01-31T06:00:00Z" })
    .optional(),
});

/**
 * The endpoint `freeze`: `GET` tells whether applying is forbidden; `POST` of `{ freeze: true, reason, until? }` forbids
 * it, `{ freeze: false, reason }` allows it again. For admins; every member may look.
 */
export function serveFreeze(parts: Partial<EndpointParts> = {}): Endpoint {
  return createEndpoint(
    {
      name: "freeze",
      methods: ["GET", "POST"],
      answer: (exchange) =>
        answerSwitch(exchange, {
          read: readFreeze,
          find: (body) => [
            ...findProblems(schema, body),
            ...(body["freeze"] === false && body["until"] !== undefined
              ? [{ path: "until", message: "belongs to a freeze" }]
              : []),
          ],
          set: (transaction, body) => {
            const { freeze: frozen, reason, until } = schema.parse(body);
            return frozen ? freeze(transaction, reason, until ?? null) : unfreeze(transaction, reason);
          },
        }),
    },
    parts,
  );
}
