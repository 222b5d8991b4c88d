/** The version of these functions. They want a schema `runbook` of the same version; a check compares it with package.json. */
export const VERSION = "0.1.0";
