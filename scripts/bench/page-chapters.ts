/**
 * Puts a chapter into a page that several commands write: the one of the same title is replaced, a new one comes last. A
 * chapter begins with `## <title>` and ends before the next heading of that level.
 * @param command that makes the chapter, named below its title.
 */
export function withChapter(page: string, title: string, command: string, text: string): string {
  const chapter = `## ${title}\n\nMade by \`${command} -- --write\`.\n\n${text.trim()}\n`;
  const begin = `${page}\n`.indexOf(`\n## ${title}\n`);
  if (begin < 0) return `${page.trimEnd()}\n\n${chapter}`;
  const next = page.indexOf("\n## ", begin + 4);
  return `${page.slice(0, begin + 1)}${chapter}${next < 0 ? "" : `${page.slice(next)}`}`;
}
