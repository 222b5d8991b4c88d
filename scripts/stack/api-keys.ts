import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { generateSigningKey, type SigningKey } from "./auth/signing-key.ts";
import { StackError } from "./stack-error.ts";

/** The stack's secrets: made once, kept in its state directory, so that tokens and keys outlive a restart. */
export interface StackKeys {
  publishableKey: string;
  secretKey: string;
  sentryWebhookSecret: string;
  signingKey: SigningKey;
}

const stored = z.object({
  publishableKey: z.string(),
  secretKey: z.string(),
  sentryWebhookSecret: z.string(),
  signingKey: z.custom<SigningKey>((value) => typeof value === "object" && value !== null && "kid" in value),
});

/** Reads the keys from `file`, or makes them and writes them there, readable by this user only. */
export async function loadKeys(file: string): Promise<StackKeys> {
  if (existsSync(file)) {
    try {
      return stored.parse(JSON.parse(readFileSync(file, "utf8")));
    } catch (cause) {
      throw new StackError(
        `The stack's keys in ${file} cannot be read.`,
        "Remove the file; new keys are made.",
        { cause },
      );
    }
  }
  const keys: StackKeys = {
    publishableKey: `sb_publishable_${randomKey()}`,
    secretKey: `sb_secret_${randomKey()}`,
    sentryWebhookSecret: randomBytes(24).toString("hex"),
    signingKey: await generateSigningKey(),
  };
  writeFileSync(file, `${JSON.stringify(keys, null, 2)}\n`, { mode: 0o600 });
  return keys;
}

/** 22 and 8 URL-safe characters, as in the platform's keys. */
function randomKey(): string {
  const text = randomBytes(24).toString("base64url");
  return `${text.slice(0, 22)}_${text.slice(22, 30)}`;
}
