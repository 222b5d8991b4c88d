import * as z from "zod";
import type { Probe } from "./database.ts";

/** Why the database could not be asked. */
export type Cause = "NO_CONNECTIONS" | "DATABASE_UNREACHABLE";

interface Entry {
  check: string;
  status: string;
  value: number | null;
  threshold: null;
  took_ms: number;
  findings: Record<string, unknown>[];
  reason?: string;
}

/**
 * What a health check can still say when the database cannot be asked: that very fact, and what the function saw outside.
 * A partial report in the shape of the others.
 */
export function reportWithoutDatabase(cause: Cause, probes: readonly Probe[]): Record<string, unknown> {
  const auth = probes.find((probe) => probe.name === "auth_health");
  const disk = diskEntry(probes.find((probe) => probe.name === "disk"));
  return {
    status: "critical",
    checked_at: new Date().toISOString(),
    took_ms: 0,
    partial: true,
    checks: [
      databaseEntry(cause),
      ...(auth === undefined ? [] : [authEntry(auth)]),
      ...(disk === undefined ? [] : [disk]),
    ],
  };
}

const known = z.object({
  report: z.object({
    checks: z.array(z.object({ check: z.string(), status: z.string() })),
  }),
  last_report: z.object({ status: z.string(), checked_at: z.string() }).nullable(),
});

/** The same for people, one line each; none for other details. */
export function textWithoutDatabase(details: unknown): string[] {
  const { data } = known.safeParse(details);
  if (data === undefined) return [];
  const entries = data.report.checks.map(({ check, status }) => `${status.padEnd(16)}${check}`);
  const last = data.last_report;
  return [
    ...entries,
    ...(last === null ? [] : [`The last report, of ${last.checked_at.slice(0, 19)}, was: ${last.status}.`]),
  ];
}

const sizes = z.object({ fs_size_bytes: z.number().positive(), fs_used_bytes: z.number().positive() });
/** Where the platform makes a database read-only; what is above it may well have stopped the server. */
const readOnlyPercent = 95;

/** How full the disk is, where the platform told it; otherwise nothing. */
function diskEntry(probe: Probe | undefined): Entry | undefined {
  const { data } = sizes.safeParse(probe?.evidence);
  if (probe?.ok !== true || data === undefined || data.fs_used_bytes > data.fs_size_bytes) return undefined;
  const percent = Math.round((1000 * data.fs_used_bytes) / data.fs_size_bytes) / 10;
  const isFull = percent >= readOnlyPercent;
  const megabytes = (bytes: number): string => `${Math.round(bytes / 1024 ** 2)} MB`;
  const sentence = `${percent} % of the disk are used: ${megabytes(data.fs_used_bytes)} of ${megabytes(data.fs_size_bytes)}.`;
  return {
    check: "disk_space",
    status: isFull ? "critical" : "ok",
    value: percent,
    threshold: null,
    took_ms: 0,
    findings: [
      {
        code: isFull ? "disk_fills_up" : "disk_used",
        severity: isFull ? "critical" : "info",
        subject: "disk",
        summary: isFull
          ? `${sentence} A full disk stops the server. Take a larger one in the dashboard.`
          : sentence,
        evidence: probe.evidence,
        method: "told by the platform's Management API just now",
        remediation: null,
        params: null,
      },
    ],
  };
}

function databaseEntry(cause: Cause): Entry {
  const [check, code, subject, summary, method] =
    cause === "NO_CONNECTIONS"
      ? [
          "connections",
          "connections_used_up",
          "connections",
          "Every connection that ordinary roles may use is taken. End idle ones, or ask through the pooler (RUNBOOK_DB_URL).",
          "refused with SQLSTATE 53300",
        ]
      : [
          "database_writable",
          "database_unreachable",
          "database",
          "No connection to the database can be made: it is paused, restarting, or its disk is full. The dashboard tells.",
          "tried by the edge function",
        ];
  return {
    check,
    status: "critical",
    value: null,
    threshold: null,
    took_ms: 0,
    findings: [
      {
        code,
        severity: "critical",
        subject,
        summary,
        evidence: {},
        method,
        remediation: null,
        params: null,
      },
    ],
  };
}

/** Auth as this function just saw it; what an answer of Auth means is SQL's to say, which cannot be asked. */
function authEntry({ ok, evidence }: Probe): Entry {
  const tookMs = evidence["took_ms"];
  return {
    check: "auth_reachable",
    status: ok ? "ok" : "critical",
    value: typeof tookMs === "number" ? tookMs : null,
    threshold: null,
    took_ms: 0,
    findings: ok
      ? []
      : [
          {
            code: "auth_unreachable",
            severity: "critical",
            subject: "auth",
            summary: "Auth did not tell that it is well; it needs the database too.",
            evidence,
            method: "asked by the edge function",
            remediation: null,
            params: null,
          },
        ],
  };
}
