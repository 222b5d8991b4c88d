import * as z from "zod";
import { prefersText } from "./accept.ts";
import { readBody } from "./body.ts";
import { identifyCaller } from "./caller.ts";
import { findProblems, refuseProblems } from "./catalog.ts";
import {
  type Choice,
  carryProbes,
  chosenChecks,
  composeReport,
  dueProbes,
  enter,
  type Limits,
  nameWhoLocks,
  type Probe,
  recordReport,
  reportText,
  type Statements,
} from "./database.ts";
import { toApiError } from "./database-errors.ts";
import { createEndpoint, type Endpoint, type EndpointParts, type Exchange } from "./endpoint.ts";
import { ApiError, invalidBody, type Problem } from "./errors.ts";
import { reportWithoutDatabase, textWithoutDatabase } from "./report-without-database.ts";
import { runChecks } from "./run-checks.ts";
import { redeem, ticketHeader } from "./ticket.ts";

const name = "health-check";
const limits: Limits = { statement: "1s", lock: "100ms" };
/** What is looked at each time, also when the database cannot say what is due. */
const probeNames = ["auth_health", "functions_version"];
/** Nobody waits for the schedule's look; pg_net hangs up after twenty seconds. */
const scheduledPatienceMs = 8_000;

const names = z.array(z.string().min(1).max(63)).min(1).max(100).optional();
const bodySchema = z.strictObject({ checks: names, groups: names, detail: z.boolean().optional() });
const nameList = z
  .string()
  .transform((list) => list.split(","))
  .pipe(z.array(z.string().min(1).max(63)).max(100))
  .optional();
const querySchema = z.strictObject({
  checks: nameList,
  groups: nameList,
  detail: z.enum(["true", "false"]).optional(),
  width: z.string().transform(Number).pipe(z.int().min(30).max(200)).optional(),
  fail: z.literal("critical").optional(),
});

type Report = Record<string, unknown>;

/** The last report of this worker, for when the database cannot be asked any more. */
interface Memory {
  lastReport?: Report;
}

/**
 * The endpoint `health-check`: `GET` or `POST` answers the report of all checks, or of those that are asked for, as JSON
 * or, when asked for `text/plain`, for people, 80 columns wide unless `?width=` says otherwise. 200 whatever it found; `?fail=critical` makes a critical report a 503.
 * Members and secret keys may call; the schedule's one-time ticket only makes it look outside.
 */
export function serveHealthCheck(parts: Partial<EndpointParts> = {}): Endpoint {
  const memory: Memory = {};
  return createEndpoint(
    { name, methods: ["GET", "POST"], answer: (exchange) => answer(exchange, memory), refuse },
    parts,
  );
}

async function answer(exchange: Exchange, memory: Memory): Promise<Response> {
  const { request, worker } = exchange;
  const ticket = request.headers.get(ticketHeader);
  if (ticket !== null) return await lookForSchedule(exchange, ticket);

  const caller = await identifyCaller(request, worker.environment);
  exchange.actor = caller.kind;
  const question = await readQuestion(exchange);
  const due = worker.probes.due(probeNames);
  const look = (names: readonly string[]): Promise<Probe[]> => worker.probes.look(names);
  // Who may learn which sessions there are: a key's holder, and whom the database let in.
  let isAdmitted = caller.kind === "secret_key";
  const looking = due.length > 0 ? look(probeNames) : Promise.resolve([]);
  try {
    // Another version of the schema is for a check to report, not a reason to refuse.
    const admit = async (transaction: Statements): Promise<void> => {
      await enter(transaction, caller.claims, exchange.requestId, limits);
      isAdmitted = true;
      refuseProblems(question.problems);
    };
    return await report(exchange, memory, { question, admit, due, looking });
  } catch (thrown) {
    const error = toApiError(thrown);
    if (error.code === "LOCKED" && isAdmitted) await nameWhoLocks(worker.connection.statements);
    if (error.code !== "NO_CONNECTIONS" && error.code !== "DATABASE_UNREACHABLE") throw error;
    throw new ApiError(error.code, {
      cause: error.cause,
      details: {
        report: reportWithoutDatabase(
          error.code,
          // A full disk stops the server, and then nobody but the platform can tell.
          (await Promise.all([due.length > 0 ? looking : look(probeNames), look(["disk"])])).flat(),
        ),
        // Whether a user may read it only the database knows.
        last_report: caller.kind === "secret_key" ? (memory.lastReport ?? null) : null,
      },
    });
  }
}

/** What the schedule rings for: looks at the world outside and records it. pg_net keeps answers where every login can read. */
async function lookForSchedule(exchange: Exchange, ticket: string): Promise<Response> {
  const { connection, probes } = exchange.worker;
  await redeem(connection, ticket, name);
  exchange.actor = "ticket";
  const names = await dueProbes(connection.statements);
  const seen = await probes.look(names, scheduledPatienceMs);
  exchange.unrecorded = await probes.record(connection.statements, seen);
  return new Response(null, { status: 204 });
}

interface Errand {
  question: Question;
  /** What a transaction of this request begins with. */
  admit: (transaction: Statements) => Promise<void>;
  /** The probes that are being looked at. */
  due: readonly string[];
  looking: Promise<Probe[]>;
}

async function report(
  exchange: Exchange,
  memory: Memory,
  { question, admit, due, looking }: Errand,
): Promise<Response> {
  const { request, worker } = exchange;
  const { connection, probes } = worker;
  let seen: Probe[] = [];
  if (due.length > 0) {
    const others = await connection.transaction("as configured", async (transaction) => {
      await admit(transaction);
      const names = await dueProbes(transaction);
      return probes.due(names.filter((name) => !probeNames.includes(name)));
    });
    seen = (await Promise.all([looking, probes.look(others)])).flat();
    exchange.unrecorded = await probes.record(connection.statements, seen);
  }
  const isPartial = question.choice.checks !== null || question.choice.groups !== null;
  const { composed, text } = await connection.transaction("as configured", async (transaction) => {
    if (exchange.unrecorded !== undefined) await carryProbes(transaction, seen);
    await admit(transaction);
    const chosen = await choose(transaction, question);
    const entries = await runChecks(transaction, chosen);
    const composed = await composeReport(transaction, entries, { detail: question.detail, isPartial });
    return {
      composed,
      text: prefersText(request) ? await reportText(transaction, composed, question.width) : null,
    };
  });
  if (!isPartial && !question.detail) {
    memory.lastReport = composed;
    // One every ten seconds is kept, or a monitor would fill the table.
    if (due.length > 0) await keep(exchange, composed);
  }
  const status = question.failsWhenCritical && composed["status"] === "critical" ? 503 : 200;
  return text === null ? Response.json(composed, { status }) : plainText(`${text}\n`, status);
}

interface Question {
  choice: Choice;
  /** Whether the choice came in the query, so that a problem's path says so. */
  isInQuery: boolean;
  detail: boolean;
  /** Of the text, in columns. */
  width: number;
  failsWhenCritical: boolean;
  problems: Problem[];
}

async function readQuestion({ request, url }: Exchange): Promise<Question> {
  const query = Object.fromEntries(url.searchParams);
  const body = request.method === "POST" ? await readBody(request, { optional: true }) : {};
  const asked = bodySchema.safeParse(body).data ?? {};
  const wanted = querySchema.safeParse(query).data ?? {};
  const isInQuery = wanted.checks !== undefined || wanted.groups !== undefined;
  const { checks = null, groups = null } = isInQuery ? wanted : asked;
  return {
    choice: { checks, groups },
    isInQuery,
    detail: wanted.detail === "true" || asked.detail === true,
    width: wanted.width ?? 80,
    failsWhenCritical: wanted.fail === "critical",
    problems: [
      ...inQuery(findProblems(querySchema, query)),
      ...findProblems(bodySchema, body),
      ...(isInQuery && (asked.checks !== undefined || asked.groups !== undefined)
        ? [{ path: "", message: "names checks in the body and in the query" }]
        : []),
    ],
  };
}

function inQuery(problems: readonly Problem[]): Problem[] {
  return problems.map(({ path, message }) => ({ path: `?${path}`, message }));
}

/** @throws ApiError 400 `INVALID_BODY` with the path of each name that the catalog does not have. */
async function choose(transaction: Statements, { choice, isInQuery }: Question): Promise<string[]> {
  try {
    return await chosenChecks(transaction, choice);
  } catch (error) {
    const refused = toApiError(error);
    const { data } = z.array(z.object({ path: z.string(), message: z.string() })).safeParse(refused.details);
    if (refused.code !== "INVALID_BODY" || data === undefined || !isInQuery) throw error;
    throw invalidBody(inQuery(data));
  }
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
  const sentences = [
    error.message,
    error.hint,
    ...textWithoutDatabase(error.details),
    `(${error.code}, request ${requestId})`,
  ];
  const text = sentences.filter((sentence) => sentence !== undefined).join("\n");
  return plainText(`${text}\n`, error.status);
}

function plainText(text: string, status: number): Response {
  return new Response(text, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}
