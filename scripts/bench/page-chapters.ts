/**
 * Puts a chapter into a page that several commands write: the one of the same title is replaced, a new one comes last. A
 * chapter begins with `## <title>` and ends before the next heading of that level.
 * @param command that makes the chapter; it is named below the title.
 */
export function withChapter(page: string, title: string, command: string, text: string): string {
  const chapter = `## ${title}\n\nMade by \`${command}\`.\n\n${text.trim()}\n`;
  const others = chaptersOf(page);
  const place = others.findIndex((one) => one.startsWith(`## ${title}\n`));
  const chapters =
    place < 0 ? [...others, chapter] : others.map((one, index) => (index === place ? chapter : one));
  return `${chapters.map((one) => one.trim()).join("\n\n")}\n`;
}

/** A page made anew, and behind it those chapters of the old one that another command made. */
export function withOthersChapters(page: string, old: string): string {
  const kept = chaptersOf(old).filter((one) => /^## .*\n\nMade by `/.test(one));
  return `${[page, ...kept].map((one) => one.trim()).join("\n\n")}\n`;
}

/** What stands before the first chapter, then each chapter. */
function chaptersOf(page: string): string[] {
  return page.split(/^(?=## )/m);
}
