/** A file of SQL below supabase/tests. */
export interface SqlTest {
  readonly path: string;
  readonly text: string;
}

/** A pgTAP file opens a transaction, says exactly how many tests it has, finishes and rolls back. */
export function sqlTestsOutOfShape(files: readonly SqlTest[]): string[] {
  return files.flatMap(({ path, text }) => {
    if (!path.endsWith(".test.sql")) return [];
    const code = text.replace(/^\s*--.*$/gm, "").trim();
    const faults: string[] = [];
    if (!/^begin(?: transaction [a-z ,]+)?;/.test(code)) faults.push("does not begin with begin;");
    if (!/\bplan\(\d+\)/.test(code)) faults.push("has no plan(n)");
    if (/\bno_plan\(\)/.test(code)) faults.push("has no_plan(), so a test that is missing goes unseen");
    if (!/\bfinish\(\w*\)/.test(code)) faults.push("does not call finish()");
    if (!/rollback;$/.test(code)) faults.push("does not end with rollback;");
    return faults.map((fault) => `${path} ${fault}`);
  });
}
