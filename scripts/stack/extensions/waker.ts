/** Lets a loop sleep until something happens. */
export interface Waker {
  /** Ends the present wait, or the next one at once when nobody waits. */
  wake(): void;
  /** Waits at most that long; returns at once when the signal is or becomes aborted. */
  wait(milliseconds: number, signal: AbortSignal): Promise<void>;
}

/** Makes a waker for one loop. */
export function createWaker(): Waker {
  let awake = false;
  let endWait: (() => void) | null = null;
  const wake = (): void => {
    awake = true;
    endWait?.();
  };
  const wait = (milliseconds: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        endWait = null;
        awake = false;
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      endWait = done;
      signal.addEventListener("abort", done);
      if (awake || signal.aborted) done();
    });
  return { wake, wait };
}
