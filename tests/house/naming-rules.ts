/** Folders' and files' names that say nothing about what is in them. */
export function namesThatSayNothing(paths: readonly string[]): string[] {
  return paths.flatMap((path) =>
    /(?:^|[/.-])(?:utils?|helpers?|misc|common|stuff)(?:\/|\.[a-z]+(?:\.[a-z]+)*$)/.test(path)
      ? [`${path} has a name that says nothing; name it after what it holds`]
      : [],
  );
}

/** TypeScript files are kebab-case, with a second name only for their role (`.test`, `.deno`, `.config`). */
export function namesNotInKebabCase(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (!/\.(?:ts|mjs)$/.test(path)) return [];
    const name = path.split("/").at(-1) ?? "";
    if (/^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.(?:test|deno|config))?\.(?:ts|mjs)$/.test(name)) return [];
    return [`${path} is not in kebab-case`];
  });
}

/** A test of SQL is `<topic>/<behaviour>.test.sql`, and the behaviour finishes the sentence "it …" in snake_case. */
export function sqlTestsMisnamed(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (!path.startsWith("supabase/tests/") || !path.endsWith(".sql")) return [];
    if (/^supabase\/tests\/[a-z0-9]+(?:[_-][a-z0-9]+)*\/[a-z0-9]+(?:_[a-z0-9]+)+\.test\.sql$/.test(path))
      return [];
    return [`${path} is not named <topic>/<behaviour_in_words>.test.sql`];
  });
}

/** A test below tests/ finishes the sentence "it …" too, in kebab-case, unless it is the unit test of the file beside it. */
export function testsMisnamed(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (!/^tests\/.*\.test\.ts$/.test(path) || paths.includes(path.replace(".test.ts", ".ts"))) return [];
    const name = path.split("/").at(-1) ?? "";
    return /^[a-z0-9]+(?:-[a-z0-9]+)+\.test\.ts$/.test(name)
      ? []
      : [`${path} does not finish the sentence "it …"`];
  });
}
