import { spawn } from "node:child_process";
import { once } from "node:events";
import { findFreePorts } from "../../stack/ports.ts";
import type { Peer } from "./peer.ts";

/** Debian's `prometheus-postgres-exporter`, asked once for its metrics. */
export const postgresExporter: Peer = {
  name: "exporter",
  title: "postgres_exporter",
  run: async ({ url, path, limitMs }) => {
    const { api } = await findFreePorts();
    const address = `127.0.0.1:${api}`;
    const child = spawn("prometheus-postgres-exporter", [`--web.listen-address=${address}`], {
      env: { PATH: path, DATA_SOURCE_NAME: `${url}?sslmode=disable` },
      stdio: "ignore",
    });
    const gone = once(child, "exit").then(
      () => null,
      () => null,
    );
    try {
      const deadline = Date.now() + limitMs;
      while (child.exitCode === null && child.pid !== undefined && Date.now() < deadline) {
        const begun = performance.now();
        const output = await fetch(`http://${address}/metrics`, {
          signal: AbortSignal.timeout(limitMs),
        }).then(
          (answer) => answer.text(),
          () => null,
        );
        if (output !== null)
          return [{ name: "metrics", output, tookMs: performance.now() - begun, hung: false, exitCode: 0 }];
        await new Promise((wake) => setTimeout(wake, 100));
      }
      return null;
    } finally {
      child.kill("SIGKILL");
      await gone;
    }
  },
};
