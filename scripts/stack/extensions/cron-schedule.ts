import { Cron } from "croner";
import { z } from "zod";

/** What `stand_in.read_schedule` says of a schedule. */
export const scheduleDescription = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("reboot") }),
  z.strictObject({ kind: z.literal("never") }),
  z.strictObject({ kind: z.literal("seconds"), seconds: z.int().min(1).max(59) }),
  z.strictObject({ kind: z.literal("minutes"), pattern: z.string(), dom_and_dow: z.boolean() }),
]);

/** See {@link scheduleDescription}. */
export type ScheduleDescription = z.infer<typeof scheduleDescription>;

/**
 * The first full minute after `after` that fits, in GMT as pg_cron counts; null when none will.
 * Schedules that do not go by the minute have none.
 */
export function nextDue(schedule: ScheduleDescription, after: Date): Date | null {
  if (schedule.kind !== "minutes") return null;
  const cron = new Cron(schedule.pattern, {
    timezone: "UTC",
    mode: "5-part",
    domAndDow: schedule.dom_and_dow,
    paused: true,
  });
  return cron.nextRun(after);
}
