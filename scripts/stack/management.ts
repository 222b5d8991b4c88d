import { randomBytes } from "node:crypto";

/** Sizes of a disk, in bytes. */
export interface Disk {
  sizeBytes: number;
  usedBytes: number;
}

/** What plays the platform's Management API about the one project that the stack is. */
export interface ManagementServer {
  /** An access token that it takes; another one at each start. */
  token: string;
  projectRef: string;
  /** Answers requests whose path begins with `/v1`. */
  fetch(request: Request): Promise<Response>;
}

/** A ref as the platform's, of twenty letters. */
const projectRef = "supabaserunbookstack";
const requestsPerMinute = 120;

/**
 * Plays `config/disk/util`, the health of Realtime and its shutdown, and refuses as the platform does: without the token
 * (401), for another project (403), what it does not know (404), the 121st request of a minute to one endpoint (429).
 */
export function createManagementServer({
  measureDisk,
  now = Date.now,
}: {
  measureDisk: () => Promise<Disk>;
  now?: () => number;
}): ManagementServer {
  const token = `sbp_${randomBytes(20).toString("hex")}`;
  const asked = new Map<string, { minute: number; count: number }>();

  /** Counts a request; answers how many of this minute are left, less than none when it is too many. */
  const count = (endpoint: string): number => {
    const minute = Math.floor(now() / 60_000);
    const known = asked.get(endpoint);
    const counted = known?.minute === minute ? known.count + 1 : 1;
    asked.set(endpoint, { minute, count: counted });
    return requestsPerMinute - counted;
  };

  const fetch = async (request: Request): Promise<Response> => {
    const { pathname, searchParams } = new URL(request.url);
    if (request.headers.get("authorization") !== `Bearer ${token}`) return refuse(401, "Unauthorized");
    const [, ref = "", path = ""] = /^\/v1\/projects\/([^/]*)\/(.*)$/.exec(pathname) ?? [];
    const endpoint = `${request.method} ${path}`;
    if (!endpoints.has(endpoint)) return refuse(404, `Cannot ${request.method} ${pathname}`);
    if (!/^[a-z]{20}$/.test(ref)) return refuse(400, "ref: must be 20 lower case letters");
    if (ref !== projectRef)
      return refuse(403, "Your account does not have the necessary privileges to access this endpoint.");
    const left = count(endpoint);
    const headers = {
      "x-ratelimit-limit": String(requestsPerMinute),
      "x-ratelimit-remaining": String(Math.max(0, left)),
      "x-ratelimit-reset": String(60 - Math.floor((now() % 60_000) / 1000)),
    };
    if (left < 0) return refuse(429, "ThrottlerException: Too Many Requests", headers);
    if (path === "config/realtime/shutdown") return new Response(null, { status: 204, headers });
    if (path === "health") return Response.json(healthOf(searchParams.getAll("services")), { headers });
    const disk = await measureDisk().catch(() => undefined);
    if (disk === undefined) return refuse(500, "Failed to get disk utilization", headers);
    return Response.json(diskOf(disk, now()), { headers });
  };
  return { token, projectRef, fetch };
}

const endpoints = new Set(["GET config/disk/util", "GET health", "POST config/realtime/shutdown"]);

function refuse(status: number, message: string, headers: Record<string, string> = {}): Response {
  return Response.json({ message }, { status, headers });
}

/** The stack has no services of its own that could be ill; Realtime says what it does while nobody is connected. */
function healthOf(services: string[]): unknown[] {
  return services
    .flatMap((list) => list.split(","))
    .map((name) => ({
      name,
      healthy: true,
      status: "ACTIVE_HEALTHY",
      ...(name === "realtime"
        ? { info: { healthy: true, db_connected: false, replication_connected: false, connected_cluster: 0 } }
        : {}),
    }));
}

function diskOf({ sizeBytes, usedBytes }: Disk, at: number): unknown {
  return {
    timestamp: new Date(at).toISOString(),
    metrics: {
      fs_size_bytes: sizeBytes,
      fs_avail_bytes: Math.max(0, sizeBytes - usedBytes),
      fs_used_bytes: usedBytes,
    },
  };
}
