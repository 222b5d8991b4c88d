import { table, wholeNumber } from "../bench/table.ts";
import type { Fault } from "./lab.ts";
import type { PeerResult } from "./peers/peer.ts";
import type { LabResult } from "./run-lab.ts";

type Verdict = "found" | "partly" | "hangs" | "";

/** The lab as Markdown: each fault and trap with who found it, the sums, the times. */
export function labChapter(result: LabResult): string {
  const { faults, traps, peers, report } = result;
  const ran = peers.calm
    .filter(({ commands }) => commands !== null)
    .map((calm) => ({ calm, stuck: peers.stuck.find(({ name }) => name === calm.name) ?? calm }));
  const titles = ran.map(({ calm }) => calm.title);
  const missing = peers.calm.filter(({ commands }) => commands === null).map(({ title }) => title);
  const published = faults.filter(({ fault }) => Number(fault.id.slice(1)) <= 20);
  const sums = (list: typeof faults): string[] => [
    `${list.filter(({ found }) => found !== undefined).length} of ${list.length}`,
    ...ran.map(
      (peer) => `${list.filter(({ fault }) => judge(fault, peer) === "found").length} of ${list.length}`,
    ),
  ];
  return [
    `On Postgres ${result.postgres}. \`partly\` means that the thing or a number is shown, and not that it is a fault; \`hangs\` that the command did not end within 20 s, since a lock is waited for in the lab.`,
    table(
      ["fault", "runbook", ...titles],
      [
        ...faults.map(({ fault, found }) => [
          `${fault.id} ${fault.title}`,
          found === undefined ? "" : "found",
          ...ran.map((peer) => judge(fault, peer)),
        ]),
        ["of the 20 published", ...sums(published)],
        ["of all", ...sums(faults)],
      ],
    ),
    table(
      ["trap (silence is right)", "runbook", ...titles],
      [
        ...traps.map(({ id, title, trap, alarm }) => [
          `${id} ${title}`,
          alarm === "" ? "right" : "wrong",
          ...ran.map((peer) => (trap === undefined ? "–" : judge(trap, peer) === "found" ? "wrong" : "")),
        ]),
        [
          "false alarms",
          `${traps.filter(({ alarm }) => alarm !== "").length} of ${traps.length}`,
          ...ran.map(() => ""),
        ],
      ],
    ),
    table(
      ["time", "runbook", ...titles],
      [
        ["calm: everything, ms", "", ...ran.map(({ calm }) => wholeNumber(sumOf(calm)))],
        [
          "stuck: everything, ms",
          wholeNumber(result.tookMs),
          ...ran.map(({ stuck }) => wholeNumber(sumOf(stuck))),
        ],
        [
          "stuck: slowest part, ms",
          wholeNumber(Math.max(...report.checks.map(({ took_ms }) => took_ms))),
          ...ran.map(({ stuck }) => wholeNumber(maxOf(stuck))),
        ],
        ["parts", String(report.checks.length), ...ran.map(({ calm }) => String(calm.commands?.length ?? 0))],
        [
          "stuck: parts that hang",
          "0",
          ...ran.map(({ stuck }) => String(stuck.commands?.filter(({ hung }) => hung).length ?? 0)),
        ],
      ],
    ),
    ...(missing.length > 0 ? [`Not installed here: ${missing.join(", ")}.`] : []),
  ].join("\n\n");
}

/** A peer is asked on the calm database about whatever can be seen there. */
function judge(
  { phase, peers }: Pick<Fault, "phase" | "peers">,
  peer: { calm: PeerResult; stuck: PeerResult },
): Verdict {
  const { name, commands } = phase === "stuck" ? peer.stuck : peer.calm;
  const mark = peers[name];
  if (mark === undefined) return "";
  const command = commands?.find((one) => one.name === mark.command);
  if (command?.hung === true) return "hangs";
  return command !== undefined && mark.prints.test(command.output) ? mark.as : "";
}

function sumOf({ commands }: PeerResult): number {
  return (commands ?? []).reduce((sum, { tookMs }) => sum + tookMs, 0);
}

function maxOf({ commands }: PeerResult): number {
  return Math.max(0, ...(commands ?? []).map(({ tookMs }) => tookMs));
}
