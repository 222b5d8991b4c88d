import { readBody } from "./body.ts";
import { identifyCaller } from "./caller.ts";
import { refuseProblems } from "./catalog.ts";
import type { Limits, Statements } from "./database.ts";
import { passDoor } from "./door.ts";
import type { Exchange } from "./endpoint.ts";
import type { Problem } from "./errors.ts";
import { recordingRefusals } from "./refusals.ts";

const limits: Limits = { statement: "10s", lock: "2s" };

type Json = Record<string, unknown>;

/** Something of the runbook itself that is read with `GET` and set with `POST`. */
export interface Switch {
  read(transaction: Statements): Promise<Json>;
  find(body: Json): Problem[];
  /** Sets it; the body has no problems. */
  set(transaction: Statements, body: Json): Promise<Json>;
}

/** Answers the state for `GET`, and what was set for `POST`; a refusal of the latter is recorded. */
export async function answerSwitch(exchange: Exchange, { read, find, set }: Switch): Promise<Response> {
  const { request, requestId, worker } = exchange;
  const { connection } = worker;
  const caller = await identifyCaller(request, worker.environment);
  exchange.actor = caller.kind;
  if (request.method === "GET") {
    const state = await connection.transaction("read only", async (transaction) => {
      await passDoor(transaction, caller, requestId, limits);
      return await read(transaction);
    });
    return Response.json(state);
  }
  const body = await readBody(request);
  const name = exchange.url.pathname.replace(/\/$/, "").split("/").at(-1) ?? "";
  const state = await recordingRefusals(connection, { caller, name, params: body }, () =>
    connection.transaction("as configured", async (transaction) => {
      await passDoor(transaction, caller, requestId, limits);
      refuseProblems(find(body));
      return await set(transaction, body);
    }),
  );
  return Response.json(state);
}
