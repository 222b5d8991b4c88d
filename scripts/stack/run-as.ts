import { readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { StackError } from "./stack-error.ts";

/** The operating system's user that runs Postgres. */
export interface RunAs {
  uid: number;
  gid: number;
  name: string;
}

/**
 * Postgres refuses to run as root, so a stack that root starts runs it as `postgres` where that user exists, else
 * as `nobody`. An ordinary user (and Windows) needs none of this: null.
 */
export function chooseRunAs(): RunAs | null {
  if (process.getuid?.() !== 0) return null;
  const users = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  for (const name of ["postgres", "nobody"]) {
    const user = users.find((fields) => fields[0] === name);
    if (user?.[2] !== undefined && user[3] !== undefined)
      return { uid: Number(user[2]), gid: Number(user[3]), name };
  }
  throw new StackError(
    "Postgres refuses to run as root, and this system has neither a user `postgres` nor a user `nobody` to run it as.",
    "Start the stack as an ordinary user.",
  );
}

/** Whether that user can enter `directory` and every directory above it. */
export function canReach(directory: string, user: RunAs): boolean {
  for (let path = directory; ; path = dirname(path)) {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat !== undefined) {
      const bit = stat.uid === user.uid ? 0o100 : stat.gid === user.gid ? 0o010 : 0o001;
      if ((stat.mode & bit) === 0) return false;
    }
    if (path === dirname(path)) return true;
  }
}
