import * as z from "zod";
import { prefersText } from "./accept.ts";
import { readBody } from "./body.ts";
import { identifyCaller } from "./caller.ts";
import { findProblems, refuseProblems } from "./catalog.ts";
import type { Transaction } from "./connection.ts";
import {
  actAsViewer,
  checkNames,
  composeReport,
  enter,
  type Limits,
  recordReport,
  reportText,
  runCheck,
  type Statements,
  setLimits,
} from "./database.ts";
import { toApiError } from "./database-errors.ts";
import { createEndpoint, type Endpoint, type EndpointParts, type Exchange } from "./endpoint.ts";
import type { ApiError, Problem } from "./errors.ts";
import { redeem, ticketHeader } from "./ticket.ts";

const name = "health-check";
const limits: Limits = { statement: "1s", lock: "100ms" };
/** After this long the remaining checks are skipped. */
const budgetMs = 10_000;
const probeNames = ["auth_health", "functions_version"];

const bodySchema = z.strictObject({ detail: z.boolean().optional() });
const querySchema = z.strictObject({
  detail: z.enum(["true", "false"]).optional(),
  fail: z.literal("critical", { error: 'must be "critical"' }).optional(),
});

type Report = Record<string, unknown>;

/**
 * The endpoint `health-check`: `GET` or `POST` answers the report, as JSON or, when asked for `text/plain`, for people. 200
 * whatever it found; `?fail=critical` makes a critical report a 503. Members, secret keys and one-time tickets may call.
 */
export function serveHealthCheck(parts: Partial<EndpointParts> = {}): Endpoint {
  return createEndpoint({ name, methods: ["GET", "POST"], answer, refuse }, parts);
}

async function answer(exchange: Exchange): Promise<Response> {
  const { request, worker } = exchange;
  const enterAsCaller = await identify(exchange);
  const question = await readQuestion(exchange);
  const admit = async (transaction: Statements): Promise<void> => {
    await enterAsCaller(transaction);
    refuseProblems(question.problems);
  };

  const { connection, probes } = worker;
  const due = probes.due(probeNames);
  if (due.length > 0) {
    const looking = probes.look(due);
    await connection.transaction("as configured", admit);
    exchange.unrecorded = await probes.record(connection.statements, await looking);
  }
  const { report, text } = await connection.transaction("as configured", async (transaction) => {
    await admit(transaction);
    const composed = await composeReport(transaction, await runChecks(transaction), question.detail);
    return { report: composed, text: prefersText(request) ? await reportText(transaction, composed) : null };
  });
  // One every ten seconds is kept, or a monitor would fill the table.
  if (due.length > 0 || exchange.actor === "ticket") await keep(exchange, report);
  // pg_net keeps answers where every login of the database can read them.
  if (exchange.actor === "ticket") return new Response(null, { status: 204 });

  const status = question.failsWhenCritical && report["status"] === "critical" ? 503 : 200;
  return text === null ? Response.json(report, { status }) : plainText(`${text}\n`, status);
}

/**
 * Finds out who calls. Answers what a transaction of this request begins with: a member or a key comes through the door;
 * a ticket, which is used up here, has a viewer's rights and no name.
 */
async function identify(exchange: Exchange): Promise<(transaction: Statements) => Promise<void>> {
  const { request, requestId, worker } = exchange;
  const ticket = request.headers.get(ticketHeader);
  if (ticket !== null) {
    await redeem(worker.connection, ticket, name);
    exchange.actor = "ticket";
    return async (transaction) => {
      await setLimits(transaction, limits);
      await actAsViewer(transaction);
    };
  }
  const caller = await identifyCaller(request, worker.environment);
  exchange.actor = caller.kind;
  // Another version of the schema is for a check to report, not a reason to refuse.
  return async (transaction) => {
    await enter(transaction, caller.claims, requestId, limits);
  };
}

interface Question {
  detail: boolean;
  failsWhenCritical: boolean;
  problems: Problem[];
}

async function readQuestion({ request, url }: Exchange): Promise<Question> {
  const query = Object.fromEntries(url.searchParams);
  const body = request.method === "POST" ? await readBody(request, { optional: true }) : {};
  return {
    detail: query["detail"] === "true" || body["detail"] === true,
    failsWhenCritical: query["fail"] === "critical",
    problems: [
      ...findProblems(querySchema, query).map(({ path, message }) => ({ path: `?${path}`, message })),
      ...findProblems(bodySchema, body),
    ],
  };
}

/** Runs each check as a statement of its own, so that each has its own timeout. */
async function runChecks(transaction: Transaction): Promise<Report[]> {
  const startedAt = performance.now();
  const entries: Report[] = [];
  for (const check of await checkNames(transaction)) {
    entries.push(
      performance.now() - startedAt < budgetMs
        ? await runOne(transaction, check)
        : entryWithout(check, "skipped", 0, "budget spent"),
    );
  }
  return entries;
}

/** `run_check` raises nothing of its own; what still comes, such as its timeout, is undone and becomes its entry. */
async function runOne(transaction: Transaction, check: string): Promise<Report> {
  const startedAt = performance.now();
  try {
    return await transaction.attempt((statements) => runCheck(statements, check));
  } catch (error) {
    const tookMs = Math.round(performance.now() - startedAt);
    const { code } = toApiError(error);
    return entryWithout(check, "error", tookMs, `could not be run: ${code}`);
  }
}

function entryWithout(check: string, status: string, tookMs: number, reason: string): Report {
  return { check, status, value: null, threshold: null, took_ms: tookMs, findings: [], reason };
}

/** Keeps the report. Who asked gets it whether or not it could be kept; the log says when it could not. */
async function keep(exchange: Exchange, report: Report): Promise<void> {
  try {
    await recordReport(exchange.worker.connection.statements, report);
  } catch (error) {
    exchange.unrecorded = toApiError(error).code;
  }
}

function refuse(error: ApiError, requestId: string, request: Request): Response {
  if (!prefersText(request)) return Response.json(error.body(requestId), { status: error.status });
  const sentences = [error.message, error.hint, `(${error.code}, request ${requestId})`];
  const text = sentences.filter((sentence) => sentence !== undefined).join("\n");
  return plainText(`${text}\n`, error.status);
}

function plainText(text: string, status: number): Response {
  return new Response(text, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}
