import { invalid } from "./auth-error.ts";

const label = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const pattern = new RegExp(`^[a-z0-9.!#$%&'*+/=?^_\`{|}~-]+@${label}(?:\\.${label})*$`);

/** The address in lower case, as it is stored; 400 `validation_failed` when it is none. */
export function requireEmailAddress(email: string): string {
  if (email === "") throw invalid("An email address is required");
  if (email.length > 255) throw invalid("An email address is too long");
  const lower = email.toLowerCase();
  if (!pattern.test(lower)) throw invalid("Unable to validate email address: invalid format");
  return lower;
}
