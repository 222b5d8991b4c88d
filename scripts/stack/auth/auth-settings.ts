/** What a project can configure of Auth; the names follow `supabase/config.toml`, the defaults follow GoTrue. */
export interface AuthSettings {
  /** Lifetime of an access token. */
  jwtExpirySeconds: number;
  /** The least time between two mails of one kind to one person. */
  emailMaxFrequencySeconds: number;
  /** Lifetime of the code and of the link in a mail. */
  otpExpirySeconds: number;
  /** How long a rotated refresh token may still be exchanged. */
  refreshTokenReuseSeconds: number;
  /** New people are confirmed at once and get a session from the sign-up. */
  autoconfirm: boolean;
  disableSignup: boolean;
  passwordMinLength: number;
  /** A change of address must be confirmed from the old and from the new address. */
  secureEmailChange: boolean;
  /** Where links lead when the request names no allowed address. */
  siteUrl: string;
  /** Addresses besides the site's own host that links may lead to, compared exactly. */
  redirectUrls: readonly string[];
  /** `schema.function` of the password verification hook. */
  passwordHook?: string;
  /** Requests one client address may send to one endpoint; unlimited when absent. */
  requestsPerFiveMinutes?: number;
  /** Mails of the whole project; unlimited when absent. */
  emailsPerHour?: number;
}

/** A project that changed nothing. */
export const defaultAuthSettings: AuthSettings = {
  jwtExpirySeconds: 3600,
  emailMaxFrequencySeconds: 60,
  otpExpirySeconds: 3600,
  refreshTokenReuseSeconds: 10,
  autoconfirm: false,
  disableSignup: false,
  passwordMinLength: 6,
  secureEmailChange: true,
  siteUrl: "http://127.0.0.1:3000",
  redirectUrls: [],
};
