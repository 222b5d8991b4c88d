/** One thing that is wrong in a file. */
export interface Finding {
  /** Path below the project's root, with forward slashes; empty when no file is to blame. */
  readonly file: string;
  /** 1-based; 0 when the whole file is meant. */
  readonly line: number;
  /** What is wrong and what to do. */
  readonly message: string;
  /** Which rule says so, where there are several. */
  readonly rule?: string;
}

/** One line for a person: `file:line  what is wrong [rule]`. */
export function describeFinding(finding: Finding): string {
  const place = finding.line > 0 ? `${finding.file}:${finding.line}` : finding.file;
  const rule = finding.rule === undefined ? "" : ` [${finding.rule}]`;
  return place === "" ? `${finding.message}${rule}` : `${place}  ${finding.message}${rule}`;
}

/** The 1-based line of a position that counts UTF-16 units. */
export function lineAt(text: string, position: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < position; at = text.indexOf("\n", at + 1)) line += 1;
  return line;
}
