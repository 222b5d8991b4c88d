/** Thresholds of checks for the lab, where minutes must do for days. */
export const tunings: readonly { check: string; thresholds: Record<string, number> }[] = [
  { check: "idle_in_transaction", thresholds: { after_s: 5 } },
  { check: "prepared_transactions", thresholds: { after_s: 5 } },
  { check: "replication_slots", thresholds: { inactive_after_s: 5 } },
  { check: "slow_statements", thresholds: { busy_percent: 1 } },
  { check: "unused_indexes", thresholds: { window_days: 0 } },
  { check: "vacuum_horizon", thresholds: { warning: 20, after_s: 5, close_percent: 1 } },
];
