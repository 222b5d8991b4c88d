import type { PeerName } from "../lab.ts";
import type { ProgramResult } from "./run-program.ts";

/** A database as programs are told about it. */
export interface Target {
  /** Login as `postgres`. */
  url: string;
  /** Where programs are looked for, as in the variable PATH. */
  path: string;
  /** After this long a command is ended, and counts as hanging. */
  limitMs: number;
  /** The project's directory. */
  root: string;
}

/** One command of a peer and what came of it. */
export interface PeerCommand extends ProgramResult {
  name: string;
}

/** What a peer said about the lab. */
export interface PeerResult {
  name: PeerName;
  title: string;
  /** Null when it is not installed here, and then nothing was run. */
  commands: PeerCommand[] | null;
}

/** A program that we are compared with. */
export interface Peer {
  name: PeerName;
  title: string;
  /** Null when it is not installed here. */
  run(target: Target): Promise<PeerCommand[] | null>;
}
