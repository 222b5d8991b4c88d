import { parse } from "smol-toml";
import { z } from "zod";
import { type Finding, lineAt } from "../finding.ts";

const config = z.object({
  functions: z
    .record(z.string(), z.object({ verify_jwt: z.boolean().optional(), import_map: z.string().optional() }))
    .default({}),
});

/**
 * Every function's folder has a block in supabase/config.toml that leaves the check of tokens to the function and
 * names the one import map, and every block has its folder.
 * @param folders names of the folders with an index.ts
 */
export function compareFunctionsConfig(configToml: string, folders: readonly string[]): Finding[] {
  const { functions } = config.parse(parse(configToml));
  const importMap = Object.values(functions).find((block) => block.import_map !== undefined)?.import_map;
  const report = (name: string, message: string): Finding => ({
    file: "supabase/config.toml",
    line: lineAt(configToml, Math.max(0, configToml.indexOf(`[functions.${name}]`))),
    message,
  });
  const missing = folders
    .filter((name) => !(name in functions))
    .map((name) =>
      report(name, `There is no block [functions.${name}]. Add it, with verify_jwt and import_map.`),
    );
  const wrong = Object.entries(functions).flatMap(([name, block]) => {
    if (!folders.includes(name))
      return [report(name, `The function ${name} has no folder. Remove the block.`)];
    const found: Finding[] = [];
    if (block.verify_jwt !== false) {
      found.push(
        report(
          name,
          `${name} needs verify_jwt = false: secret keys are no JWTs, it checks its callers itself.`,
        ),
      );
    }
    if (block.import_map === undefined || block.import_map !== importMap) {
      found.push(
        report(
          name,
          `${name} needs the import map of all functions: import_map = "${importMap ?? "../deno.json"}".`,
        ),
      );
    }
    return found;
  });
  return [...missing, ...wrong];
}
