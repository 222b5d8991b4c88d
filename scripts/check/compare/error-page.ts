import { type Finding, lineAt } from "../finding.ts";

const page = "docs/errors.md";
const source = "supabase/functions/_shared/errors.ts";

/** Every error code of the functions stands in docs/errors.md with its status, and every code of that page is one of them. */
export function compareErrorPage(errorsTs: string, errorsMd: string): Finding[] {
  const defined = definedCodes(errorsTs);
  const described = describedCodes(errorsMd);
  if (defined.size === 0) {
    return [
      { file: source, line: 0, message: "No error code was found. Define each as `CODE: { status: … }`." },
    ];
  }
  const findings: Finding[] = [];
  for (const [code, { status, line }] of defined) {
    const entry = described.get(code);
    if (entry === undefined)
      findings.push({ file: source, line, message: `${code} is not in ${page}. Describe it there.` });
    else if (entry.status !== status) {
      const message = `${code} has the status ${status} in errors.ts and ${entry.status ?? "none"} here. Make them equal.`;
      findings.push({ file: page, line: entry.line, message });
    }
  }
  for (const [code, { line }] of described) {
    if (!defined.has(code))
      findings.push({ file: page, line, message: `errors.ts has no code ${code}. Remove it here.` });
  }
  return findings;
}

function definedCodes(text: string): Map<string, { status: string | undefined; line: number }> {
  const entries = [...text.matchAll(/^\s*([A-Z][A-Z0-9_]+): \{([^}]*)\}/gm)];
  return new Map(
    entries.map((match) => [
      match[1] ?? "",
      {
        status: /\bstatus: (\d{3})\b/.exec(match[2] ?? "")?.[1],
        line: lineAt(text, match.index + match[0].search(/\S/)),
      },
    ]),
  );
}

/**
 * The codes in the first cells of the page's tables and in its headings, with the first number that looks like a status.
 * Where a code stands several times, the first place describes it.
 */
function describedCodes(text: string): Map<string, { status: string | undefined; line: number }> {
  const found = new Map<string, { status: string | undefined; line: number }>();
  text.split("\n").forEach((line, index) => {
    const code = /^(?:\|\s*|#+ )`([A-Z][A-Z0-9_]+)`/.exec(line)?.[1];
    if (code === undefined || found.has(code)) return;
    found.set(code, { status: /\b([1-5]\d\d)\b/.exec(line)?.[1], line: index + 1 });
  });
  return found;
}
