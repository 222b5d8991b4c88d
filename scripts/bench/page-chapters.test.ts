import { expect, it } from "vitest";
import { withChapter, withOthersChapters } from "./page-chapters.ts";

const page = "# Page\n\nText.\n\n## One\n\nFirst.\n\n## Two\n\nMade by `b`.\n\nSecond.\n";

it("replaces the chapter of the same title, and no other", () => {
  expect(withChapter(page, "One", "a", "Anew.\n")).toBe(
    "# Page\n\nText.\n\n## One\n\nMade by `a`.\n\nAnew.\n\n## Two\n\nMade by `b`.\n\nSecond.\n",
  );
});

it("puts a new chapter last", () => {
  expect(withChapter(page, "On", "a", "### Part\n\nText.")).toBe(
    `${page}\n## On\n\nMade by \`a\`.\n\n### Part\n\nText.\n`,
  );
});

it("keeps what another command made", () => {
  expect(withOthersChapters("# Page\n\n## One\n\nAnew.\n", page)).toBe(
    "# Page\n\n## One\n\nAnew.\n\n## Two\n\nMade by `b`.\n\nSecond.\n",
  );
});
