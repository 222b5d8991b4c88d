import * as z from "zod";
import { inBackground } from "./background.ts";
import { readBody } from "./body.ts";
import { identifyCaller } from "./caller.ts";
import { drainCalls } from "./calls.ts";
import { refuseProblems } from "./catalog.ts";
import type { Asked, Limits, Statements } from "./database.ts";
import { planError } from "./database-errors.ts";
import { passDoor } from "./door.ts";
import type { Exchange } from "./endpoint.ts";
import { envelopeProblems, inCallersWords, openEnvelope, splitEnvelope } from "./envelope.ts";
import { ApiError, type Problem } from "./errors.ts";
import { recordingRefusals } from "./refusals.ts";
import { finishEffects, readRun } from "./run-statements.ts";
import { followRun } from "./statements.ts";
import type { Worker } from "./worker.ts";

const limits: Limits = { statement: "30s", lock: "2s" };
/** How long a request waits for services outside; the schedule goes on where it stops. */
const budgetMs = 20_000;

type Json = Record<string, unknown>;

/** One change, as an endpoint reads it from a body. */
export interface Change {
  /** Of the remediation, for the record of refusals. */
  name: string;
  params: Json;
  /** Looks at what is asked for, behind the door. */
  examine(transaction: Statements): Promise<Examined>;
  /** Plans or applies it. */
  perform(transaction: Statements, asked: Asked): Promise<Json>;
}

/** What is wrong with a request, and the outside facts that its plan depends on. */
export interface Examined {
  problems: Problem[];
  probes: readonly string[];
  /** What its own parameters are, for those that do not fit. */
  takes?: string;
}

const step = z.looseObject({
  position: z.number(),
  kind: z.string(),
  statement: z.string().nullish(),
  state: z.string(),
  progress: z
    .looseObject({
      response_status: z.number().nullish(),
      error: z.unknown().optional(),
      next_attempt_at: z.string().nullish(),
    })
    .nullish(),
});
const remediation = z.looseObject({
  state: z.string(),
  run: z
    .looseObject({
      id: z.number(),
      idempotency_key: z.string().nullish(),
      error: z
        .looseObject({
          sqlstate: z.string().optional(),
          message: z.string(),
          hint: z.string().optional(),
          differences: z.unknown().optional(),
        })
        .nullish(),
    })
    .nullable(),
  steps: z.array(step),
});
type Remediation = z.infer<typeof remediation>;

/**
 * Answers a request for a change: the plan for a dry run, else the run. Calls and statements of the run follow its
 * commit; the calls are waited for.
 */
export async function answerChange(exchange: Exchange, read: (body: Json) => Change): Promise<Response> {
  const { request, requestId, worker } = exchange;
  const caller = await identifyCaller(request, worker.environment);
  exchange.actor = caller.kind;
  const { envelope, rest } = splitEnvelope(await readBody(request), request.headers);
  const change = read(rest);

  const apply = (): Promise<Json> =>
    lookingOutside(exchange, (due) =>
      worker.connection.transaction("as configured", async (transaction) => {
        await passDoor(transaction, caller, requestId, limits);
        const { problems, probes, takes } = await change.examine(transaction);
        refuseProblems([...envelopeProblems(envelope), ...problems], problems.length > 0 ? takes : undefined);
        due(probes);
        const asked = openEnvelope(envelope);
        return await change.perform(transaction, asked).catch((error: unknown) => {
          throw inCallersWords(asked.dryRun ? planError(error) : error);
        });
      }),
    );
  const result =
    envelope.fields.dry_run === true
      ? await apply()
      : await recordingRefusals(
          worker.connection,
          { caller, name: change.name, params: change.params },
          apply,
        );
  return answerRun(await finish(worker, remediation.parse(result)));
}

/** Thrown where a plan needs facts that nobody has looked at: nothing was done yet. */
class LookFirst extends Error {
  override name = "LookFirst";
  readonly names: readonly string[];

  constructor(names: readonly string[]) {
    super("These probes are due.");
    this.names = names;
  }
}

/** Does it, and where `due` finds probes that are too old, looks at them and does it anew. */
async function lookingOutside(
  exchange: Exchange,
  attempt: (due: (probes: readonly string[]) => void) => Promise<Json>,
): Promise<Json> {
  const { probes, connection } = exchange.worker;
  try {
    return await attempt((names) => {
      const due = probes.due(names);
      if (due.length > 0) throw new LookFirst(due);
    });
  } catch (error) {
    if (!(error instanceof LookFirst)) throw error;
    exchange.unrecorded = await probes.record(connection.statements, await probes.look(error.names));
    return await attempt(() => {});
  }
}

/** Does what follows the commit of a run, and answers the run as it then is. */
async function finish(worker: Worker, begun: Remediation): Promise<Remediation> {
  if (begun.state !== "applying" || begun.run === null) return begun;
  const runId = String(begun.run.id);
  if (begun.steps.some(({ kind }) => kind === "effect"))
    await finishEffects(worker.connection.statements, runId);
  if (begun.steps.some(({ kind }) => kind === "call")) await drainCalls(worker, { runId, budgetMs });
  if (begun.steps.some(({ kind }) => kind === "statement" || kind === "batch"))
    inBackground(followRun(worker, runId));
  return remediation.parse(await readRun(worker.connection.statements, runId));
}

/**
 * The run as an answer.
 * @throws ApiError 409, 500 or 502 with the run's id, for a run that went wrong and stays on record.
 */
function answerRun(result: Remediation): Response {
  const { state, run, steps } = result;
  if (state === "undo_refused") {
    throw new ApiError("UNDO_REFUSED", {
      message: run?.error?.message,
      details: { run_id: run?.id, differences: run?.error?.differences ?? [] },
    });
  }
  if (state === "failed" || state === "abandoned") throw failureOf(result);
  const response = Response.json(result, { status: state === "applying" ? 202 : 200 });
  if (typeof run?.idempotency_key === "string") response.headers.set("idempotency-key", run.idempotency_key);
  if (state === "applying") response.headers.set("retry-after", String(secondsUntilNext(steps)));
  return response;
}

function failureOf({ state, run, steps }: Remediation): ApiError {
  const calls = steps.filter((each) => each.kind === "call" && each.state === "failed");
  if (calls.length === 0) {
    const undone = steps.every((each) => each.state === "rolled_back" || each.state === "not_done");
    // The runbook's own errors are meant to be read; others may quote values.
    const own = run?.error?.sqlstate?.startsWith("RB") === true ? run.error : undefined;
    return new ApiError("RUN_FAILED", {
      message: own?.message ?? `The remediation failed${undone ? ", and nothing was changed" : ""}.`,
      hint: own?.hint ?? `Its run says why: remediation-runs with {"id": ${run?.id}}.`,
      details: { run_id: run?.id, state },
      reason: `run_${state}`,
    });
  }
  return new ApiError("UPSTREAM_FAILED", {
    details: {
      run_id: run?.id,
      state,
      calls: calls.map(({ position, statement, progress }) => ({
        position,
        request: statement,
        status: progress?.response_status ?? null,
        error: progress?.error ?? null,
      })),
    },
    reason: `run_${state}`,
  });
}

/** When it is worth while to look at a run again. */
function secondsUntilNext(steps: Remediation["steps"]): number {
  const times = steps.flatMap(({ progress }) =>
    typeof progress?.next_attempt_at === "string" ? [Date.parse(progress.next_attempt_at)] : [],
  );
  const next = Math.min(...times);
  return Number.isFinite(next) ? Math.min(3600, Math.max(1, Math.ceil((next - Date.now()) / 1000))) : 2;
}
