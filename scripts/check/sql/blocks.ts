import { raisesOf } from "./raises.ts";
import { folded, type Token } from "./scan.ts";

/** One `when … then …` of an exception section; positions are indexes into the tokens that were read. */
export interface Handler {
  readonly when: number;
  /** The names of the conditions, in lower case. */
  readonly conditions: readonly string[];
  /** What it does, up to the next handler or the end of the block. */
  readonly body: readonly Token[];
}

/** A `begin … exception … end` of PL/pgSQL. */
export interface GuardedBlock {
  /** What runs under the handlers' protection. */
  readonly guarded: readonly Token[];
  readonly handlers: readonly Handler[];
}

interface Open {
  readonly kind: "begin" | "other";
  readonly at: number;
  exception?: number;
}

/** Whether a handler does nothing: its body is empty or only `null`. */
export function isEmpty(handler: Handler): boolean {
  return handler.body.every((token) => /^(?:null|;)$/.test(folded(token)));
}

/**
 * The states of a body that are signals and no errors: raised in a block as a constant and taken by a handler of that
 * same block which does nothing, to leave the block and roll it back.
 */
export function signalsOf(tokens: readonly Token[]): Set<string> {
  return new Set(
    guardedBlocks(tokens).flatMap((block) => {
      const raised = new Set(raisesOf(block.guarded).map((raise) => raise.state));
      return block.handlers
        .filter(isEmpty)
        .flatMap((handler) => handler.conditions.filter((one) => raised.has(one)));
    }),
  );
}

/** The blocks of a PL/pgSQL body that have an exception section, innermost first. */
export function guardedBlocks(tokens: readonly Token[]): GuardedBlock[] {
  const blocks: GuardedBlock[] = [];
  const open: Open[] = [];
  for (let at = 0; at < tokens.length; at += 1) {
    const word = tokens[at]?.kind === "word" ? folded(tokens[at]) : "";
    const before = folded(tokens[at - 1]);
    if (word === "begin") open.push({ kind: "begin", at });
    else if (word === "case" || word === "loop" || (word === "if" && opensIf(before))) {
      if (before !== "end") open.push({ kind: "other", at });
    } else if (word === "exception" && before !== "raise") {
      const block = open.at(-1);
      if (block?.kind === "begin") block.exception = at;
    } else if (word === "end") {
      const block = open.pop();
      if (block?.exception !== undefined) {
        blocks.push({
          guarded: tokens.slice(block.at + 1, block.exception),
          handlers: readHandlers(tokens, block.exception + 1, at),
        });
      }
    }
  }
  return blocks;
}

/** An `if` that begins a statement; the one of `if exists` and of `end if` does not. */
function opensIf(before: string): boolean {
  return /^(?:;|then|else|begin|loop|>>)$/.test(before);
}

function readHandlers(tokens: readonly Token[], start: number, end: number): Handler[] {
  const starts: number[] = [];
  let depth = 0;
  for (let at = start; at < end; at += 1) {
    const word = tokens[at]?.kind === "word" ? folded(tokens[at]) : "";
    const before = folded(tokens[at - 1]);
    if (word === "end") depth -= 1;
    else if (word === "begin" || (before !== "end" && (word === "case" || word === "loop"))) depth += 1;
    else if (word === "if" && opensIf(before)) depth += 1;
    else if (word === "when" && depth === 0 && /^(?:exception|;|then)$/.test(before)) starts.push(at);
  }
  return starts.map((when, index) => {
    const stop = starts[index + 1] ?? end;
    let then = when;
    while (then < stop && folded(tokens[then]) !== "then") then += 1;
    const conditions = tokens
      .slice(when + 1, then)
      .map(folded)
      .filter((word) => word !== "or");
    return { when, conditions, body: tokens.slice(then + 1, stop) };
  });
}
