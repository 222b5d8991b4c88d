import type { FunctionsServer } from "../stack/functions/functions-server.ts";
import type { Subject } from "./measure.ts";

/** How long the ended worker gets to give its memory and its database connection back, outside of the measured time. */
const pauseMs = 100;

/** A subject whose measured call is the first one after the function's worker was ended. */
export function coldStart(
  functions: FunctionsServer,
  functionName: string,
  call: () => Promise<void>,
): Subject {
  return {
    name: functionName,
    prepare: async () => {
      await functions.unload(functionName);
      await new Promise((wake) => setTimeout(wake, pauseMs));
    },
    call,
  };
}
