import { z } from "zod";
import { type Finding, lineAt } from "../finding.ts";

const dependencies = z.record(z.string(), z.string()).optional();
const manifest = z.object({
  dependencies,
  devDependencies: dependencies,
  optionalDependencies: dependencies,
  peerDependencies: dependencies,
});
const importMap = z.object({ imports: z.record(z.string(), z.string()) });
const exact = /^\d+\.\d+\.\d+(?:-[\w.]+)?(?:\+[\w.]+)?$/;

/**
 * package.json names exact versions only, and deno.json maps each bare name to npm with the version that
 * package.json has, so Deno, Node and the tests run the same code.
 */
export function comparePackageVersions(packageJson: string, denoJson: string): Finding[] {
  const groups = manifest.parse(JSON.parse(packageJson));
  const wanted = new Map(Object.values(groups).flatMap((group) => Object.entries(group ?? {})));
  const findings: Finding[] = [];
  for (const [name, version] of wanted) {
    if (exact.test(version)) continue;
    const message = `${name} has the version ${version}. Write one exact version.`;
    findings.push({ file: "package.json", line: lineOf(packageJson, `"${name}"`), message });
  }
  for (const [name, target] of Object.entries(importMap.parse(JSON.parse(denoJson)).imports)) {
    const message = compareImport(name, target, wanted);
    if (message !== undefined)
      findings.push({ file: "deno.json", line: lineOf(denoJson, `"${name}"`), message });
  }
  return findings;
}

function compareImport(
  name: string,
  target: string,
  wanted: ReadonlyMap<string, string>,
): string | undefined {
  const [, packageName, version, subpath = ""] =
    /^npm:((?:@[^/]+\/)?[^@/]+)@([^/]+)(\/.*)?$/.exec(target) ?? [];
  if (packageName === undefined || version === undefined) {
    return `${name} is mapped to ${target}. Map it to npm:<package>@<exact version>.`;
  }
  if (name !== packageName + subpath)
    return `${name} is mapped to ${packageName}${subpath}. Use the same name.`;
  const expected = wanted.get(packageName);
  if (expected === undefined)
    return `${packageName} is not in package.json. Add it there with version ${version}.`;
  if (expected !== version)
    return `${packageName} is ${version} here and ${expected} in package.json. Make them equal.`;
  return undefined;
}

function lineOf(text: string, part: string): number {
  return lineAt(text, Math.max(0, text.indexOf(part)));
}
