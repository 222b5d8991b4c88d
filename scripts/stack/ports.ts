import { createServer } from "node:net";
import { codeOf, StackError } from "./stack-error.ts";

/** The ports of one stack, all on the loopback address. */
export interface StackPorts {
  api: number;
  database: number;
  receiver: number;
}

/** The ports from `base` on, in the distances of `supabase start` (54321, 54322, 54324). */
export function portsFrom(base: number): StackPorts {
  return { api: base, database: base + 1, receiver: base + 3 };
}

/** @throws StackError that names the first port that another program listens on. */
export async function mustBeFree(ports: Record<string, number>): Promise<void> {
  for (const [purpose, port] of Object.entries(ports)) {
    if (!(await isFree(port))) {
      throw new StackError(
        `Port ${port} (${purpose}) is taken by another program.`,
        `Stop that program, or move the stack: STACK_PORT=${port + 100} npm start`,
      );
    }
  }
}

/** Ports that are free now and lie beside each other as `portsFrom` needs them. */
export async function findFreePorts(): Promise<StackPorts> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const ports = portsFrom(20_000 + Math.floor(Math.random() * 10_000));
    const free = await Promise.all(Object.values(ports).map(isFree));
    if (free.every(Boolean)) return ports;
  }
  throw new StackError("No free ports were found on the loopback address between 20000 and 30003.");
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error) => {
      if (codeOf(error) === "EADDRINUSE" || codeOf(error) === "EACCES") resolve(false);
      else reject(error);
    });
    server.listen({ host: "127.0.0.1", port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
