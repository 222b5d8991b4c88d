import type { CasesResult, Counts } from "./run-cases.ts";

/** The counts of all commands together. */
export function totalCounts({ counts }: CasesResult): Counts {
  const total: Counts = { cases: 0, agreed: 0, undecided: 0, unanswered: 0, disagreed: 0, proofs: 0 };
  for (const each of counts.values()) {
    total.cases += each.cases;
    total.agreed += each.agreed;
    total.undecided += each.undecided;
    total.unanswered += each.unanswered;
    total.disagreed += each.disagreed;
    total.proofs += each.proofs;
  }
  return total;
}

/** What a run of cases found, in a line for all and one for each command. */
export function summarizeCases(result: CasesResult): string {
  const lines = [...result.counts].map(([command, counts]) => `  ${command}: ${tell(counts)}`);
  return [
    `seed ${result.seed}: ${result.worlds} worlds, ${tell(totalCounts(result))}; ${result.notAboutAccess} questions were answered by a constraint`,
    ...lines,
  ].join("\n");
}

function tell({ cases, agreed, undecided, unanswered, disagreed, proofs }: Counts): string {
  return `${cases} cases, ${agreed} agree, ${undecided} undecided, ${unanswered} unanswered, ${disagreed} disagree, ${proofs} with a proof`;
}
