/**
 * Something that stops the stack and that its user can act on: one sentence with the cause, and the next step.
 * Programs print `message` and `hint` without a stack trace; every other error is a defect and is printed whole.
 */
export class StackError extends Error {
  override readonly name = "StackError";
  readonly hint: string | undefined;

  constructor(message: string, hint?: string, options?: ErrorOptions) {
    super(message, options);
    this.hint = hint;
  }
}

/** The text for a person: the sentence, and the next step on a line of its own. */
export function describeError(error: unknown): string {
  if (error instanceof StackError)
    return error.hint === undefined ? error.message : `${error.message}\n${error.hint}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(messageOf).join("; ");
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a system or database error (`EADDRINUSE`, `53300`), where it has one. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error === "object" && error !== null && "code" in error && typeof error.code === "string")
    return error.code;
  return undefined;
}
