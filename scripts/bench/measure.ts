/** Something whose duration is measured. */
export interface Subject {
  name: string;
  /** Puts things in place before a call, outside of the measured time. */
  prepare?(): Promise<void>;
  /** The measured call. Throws when the answer is not the expected one, which ends the whole run. */
  call(): Promise<void>;
}

/** How often to measure, and where to tell how far it is. */
export interface MeasureOptions {
  /** Rounds before the measured ones; their times are thrown away. */
  warmUp: number;
  rounds: number;
  /** Called after each round, with the number of rounds done and of all, warm-up included. */
  onRound?(done: number, total: number): void;
}

/**
 * Measures the subjects in turns, so that a drift of the machine meets all alike; each round begins with another one.
 * @returns the times of each subject in ms, by its name.
 */
export async function measure(
  subjects: readonly Subject[],
  { warmUp, rounds, onRound }: MeasureOptions,
): Promise<Map<string, number[]>> {
  const times = new Map<string, number[]>(subjects.map(({ name }) => [name, []]));
  const total = warmUp + rounds;
  for (let round = 0; round < total; round += 1) {
    const first = round % subjects.length;
    for (const subject of [...subjects.slice(first), ...subjects.slice(0, first)]) {
      await subject.prepare?.();
      const begun = performance.now();
      await subject.call();
      const took = performance.now() - begun;
      if (round >= warmUp) times.get(subject.name)?.push(took);
    }
    onRound?.(round + 1, total);
  }
  return times;
}
