/** Thresholds of checks for the lab, where minutes must do for days. */
export const tunings: readonly { check: string; thresholds: Record<string, number> }[] = [];
