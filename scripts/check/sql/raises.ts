import { folded, type Token } from "./scan.ts";

/** A `raise` that ends in an error, up to its semicolon. */
export interface Raise {
  readonly start: number;
  /** Whether it names the condition itself (`raise sqlstate '…'`, `raise no_data_found`). */
  readonly namesState: boolean;
  /** The state that it gives as a constant, with its quotes; empty when it gives none or computes it. */
  readonly state: string;
  /** The options behind `using`, in lower case. */
  readonly options: ReadonlySet<string>;
}

const levels = /^(?:debug|log|info|notice|warning)$/;
const optionNames = /^(?:message|detail|hint|errcode|column|constraint|datatype|table|schema)$/;

/** The errors that a PL/pgSQL body raises. A bare `raise;`, which passes an error on, is none of them. */
export function raisesOf(tokens: readonly Token[]): Raise[] {
  const raises: Raise[] = [];
  tokens.forEach((token, index) => {
    if (token.kind !== "word" || folded(token) !== "raise") return;
    let at = index + 1;
    const level = folded(tokens[at]);
    if (level === ";" || levels.test(level)) return;
    if (level === "exception") at += 1;
    const first = tokens[at];
    const namesState = first?.kind === "word" && folded(first) !== "using";
    const end = tokens.findIndex((one, position) => position > index && one.text === ";");
    const statement = tokens.slice(at, end < 0 ? tokens.length : end);
    const value = statement.findIndex((one) => folded(one) === "errcode") + 2;
    const named =
      folded(statement[0]) === "sqlstate" ? statement[1] : value > 1 ? statement[value] : undefined;
    const state = named?.kind === "string" ? named.text : "";
    raises.push({ start: token.start, namesState, state, options: optionsOf(statement) });
  });
  return raises;
}

function optionsOf(statement: readonly Token[]): Set<string> {
  const options = new Set<string>();
  let isUsing = false;
  statement.forEach((token, index) => {
    const word = folded(token);
    if (word === "using") isUsing = true;
    if (isUsing && optionNames.test(word) && /^:?=$/.test(statement[index + 1]?.text ?? ""))
      options.add(word);
  });
  return options;
}
