import * as z from "zod";
import { answerChange, type Change } from "./answer-change.ts";
import { findProblems } from "./catalog.ts";
import { undo } from "./database.ts";
import { createEndpoint, type Endpoint, type EndpointParts } from "./endpoint.ts";

const schema = z.strictObject({ run_id: z.int().min(1) });

/** The endpoint `undo-remediation`: `POST` of `{ run_id }` plans the undo of a run with `dry_run`, else applies it. */
export function serveUndo(parts: Partial<EndpointParts> = {}): Endpoint {
  return createEndpoint(
    {
      name: "undo-remediation",
      methods: ["POST"],
      answer: (exchange) => answerChange(exchange, readUndo),
    },
    parts,
  );
}

function readUndo(params: Record<string, unknown>): Change {
  return {
    name: "undo-remediation",
    params,
    examine: () => Promise.resolve({ problems: findProblems(schema, params), probes: [] }),
    perform: (transaction, asked) => undo(transaction, String(schema.parse(params).run_id), asked),
  };
}
