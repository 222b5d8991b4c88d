import { expect, it } from "vitest";
import { comparePackageVersions } from "./package-versions.ts";

const packageJson = JSON.stringify({ dependencies: { zod: "4.1.0", "@a/b": "1.2.3-beta.4" } });

function compare(imports: Record<string, string>, manifest = packageJson): string[] {
  return comparePackageVersions(manifest, JSON.stringify({ imports })).map((finding) => finding.message);
}

it("is silent when the versions are equal, subpaths included", () => {
  expect(
    compare({
      zod: "npm:zod@4.1.0",
      "@a/b": "npm:@a/b@1.2.3-beta.4",
      "@a/b/core": "npm:@a/b@1.2.3-beta.4/core",
    }),
  ).toEqual([]);
});

it.each([
  [{ zod: "npm:zod@4.1.1" }, "zod is 4.1.1 here and 4.1.0 in package.json"],
  [{ zod: "npm:zod@^4.1.0" }, "zod is ^4.1.0 here"],
  [{ zod: "npm:zod" }, "Map it to npm"],
  [{ zod: "https://example.com/zod.ts" }, "Map it to npm"],
  [{ other: "npm:other@1.0.0" }, "is not in package.json"],
  [{ z: "npm:zod@4.1.0" }, "Use the same name"],
])("reports %j", (imports, message) => {
  expect(compare(imports)).toEqual([expect.stringContaining(message)]);
});

it.each(["^4.1.0", "~4.1.0", "4.1", "latest", "4.x", "*"])("reports %s in package.json", (version) => {
  expect(compare({}, JSON.stringify({ devDependencies: { zod: version } }))).toEqual([
    `zod has the version ${version}. Write one exact version.`,
  ]);
});
