/** A value as JSON holds it. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** A name as SQL writes it, quoted whether it must be or not. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Text as SQL writes it. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A JSON value as SQL writes it, of type `jsonb`. */
export function quoteJson(value: Json): string {
  return `${quoteText(JSON.stringify(value))}::jsonb`;
}
