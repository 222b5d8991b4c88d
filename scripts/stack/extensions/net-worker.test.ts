import type { ServerResponse } from "node:http";
import type postgres from "postgres";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startNetWorker } from "./net-worker.ts";
import { type Arrival, type HttpTarget, startHttpTarget, startRawTarget } from "./testing/http-target.ts";
import { createScratchDatabase, type ScratchDatabase } from "./testing/scratch-database.ts";
import { waitUntil } from "./testing/wait-until.ts";

// The sender on a database of its own, against servers that behave well and badly.

interface Response {
  status: number | null;
  type: string | null;
  headers: Record<string, string> | null;
  content: string | null;
  timed_out: boolean;
  error: string | null;
}

let database: ScratchDatabase;
let sql: postgres.Sql;
let target: HttpTarget;
/** Answers that the test has not given yet. */
let held: ServerResponse[] = [];
const stops: (() => Promise<void>)[] = [];

beforeAll(async () => {
  database = await createScratchDatabase();
  sql = database.logIn("postgres");
});

beforeEach(async () => {
  held = [];
  target = await startHttpTarget(answer);
});

afterEach(async () => {
  await Promise.all(stops.splice(0).map((stop) => stop()));
  await backendsAreGone();
  await target.close();
  await sql`delete from net.http_request_queue where true`;
  await sql`delete from net._http_response where true`;
});

afterAll(() => database.drop());

function answer({ path }: Arrival, response: ServerResponse): void {
  const route = path.split(/[?#]/)[0];
  if (route === "/hold") held.push(response);
  else if (route === "/teapot") response.writeHead(418, { "x-kind": "teapot" }).end("short and stout");
  else if (route === "/empty") response.writeHead(204).end();
  else if (route === "/json") response.writeHead(200, { "content-type": "application/json" }).end('{"ä":1}');
  else if (route === "/nul") response.end(Buffer.from("before\0after"));
  else if (route === "/latin1") response.end(Buffer.from([0x61, 0xe4, 0x62]));
  else if (route === "/away") response.writeHead(307, { location: "/teapot" }).end();
  else if (route === "/circle") response.writeHead(302, { location: "/circle" }).end();
  else if (route === "/ftp") response.writeHead(302, { location: "ftp://127.0.0.1/" }).end();
  else response.end("ok");
}

/** The server needs a moment to end a backend whose client has left. */
function backendsAreGone(): Promise<true> {
  return waitUntil("the backends are gone", async () => {
    const rows = await sql`
      select from pg_catalog.pg_stat_activity as act
      where act.datname = current_database() and act.application_name like '%pg_net%'
    `;
    return rows.length === 0 ? true : undefined;
  });
}

async function start(report: (line: string) => void = () => {}): Promise<() => Promise<void>> {
  const worker = await startNetWorker({ connect: database.connect, report, database: database.name });
  stops.push(worker.stop);
  return worker.stop;
}

async function get(path: string, timeout = 5000): Promise<string> {
  const url = path.startsWith("/") ? target.url + path : path;
  const [row] = await sql<{ id: string }[]>`
    select net.http_get(${url}, timeout_milliseconds := ${timeout})::text as id
  `;
  return row?.id ?? "";
}

async function responsesTo(id: string): Promise<Response[]> {
  return sql<Response[]>`
    select status_code as status, content_type as type, headers, content, timed_out, error_msg as error
    from net._http_response
    where id = ${id}::bigint
  `;
}

function responseTo(id: string): Promise<Response> {
  return waitUntil(`request ${id} is answered`, async () => (await responsesTo(id))[0]);
}

function arrivalsAt(path: string): Arrival[] {
  return target.arrivals.filter((arrival) => arrival.path === path);
}

function workerPid(): Promise<number> {
  return waitUntil("the worker is there", async () => {
    const [row] = await sql<{ pid: number }[]>`
      select act.pid
      from pg_catalog.pg_stat_activity as act
      where act.datname = current_database() and act.application_name like 'pg_net %'
    `;
    return row?.pid;
  });
}

describe("a request", () => {
  it("is sent as it was asked for, and its answer is kept", async () => {
    await start();
    const id = await get("/json?a=b");
    expect(await responseTo(id)).toMatchObject({
      status: 200,
      type: "application/json",
      headers: { "content-type": "application/json" },
      content: '{"ä":1}',
      timed_out: false,
      error: null,
    });
    expect(target.arrivals).toHaveLength(1);
    expect(target.arrivals[0]).toMatchObject({
      method: "GET",
      path: "/json?a=b",
      headers: { "user-agent": expect.stringMatching(/^pg_net\/\d/) },
      body: "",
    });
  });

  it("carries method, parameters, headers and body", async () => {
    await start();
    const [post] = await sql<{ id: string }[]>`
      select net.http_post(
        ${`${target.url}/post?x=1#fragment`},
        body := '{"name": "Zoë"}',
        params := '{"q": "a b&c", "n": null}',
        headers := '{"apikey": "secret", "X-Number": 7}'
      )::text as id
    `;
    const [remove] = await sql<{ id: string }[]>`
      select net.http_delete(${`${target.url}/delete`}, body := '{"a": 1}')::text as id
    `;
    await responseTo(post?.id ?? "");
    await responseTo(remove?.id ?? "");
    expect(target.arrivals.find((arrival) => arrival.method === "POST")).toMatchObject({
      path: "/post?x=1&q=a%20b%26c",
      headers: { "content-type": "application/json", apikey: "secret", "x-number": "7" },
      body: '{"name": "Zoë"}',
    });
    expect(target.arrivals.find((arrival) => arrival.method === "DELETE")).toMatchObject({
      path: "/delete",
      body: '{"a": 1}',
    });
  });

  it("leaves at commit and not before, and never when it is rolled back", async () => {
    await start();
    const rolledBack = sql.begin(async (tx) => {
      await tx`select net.http_get(${`${target.url}/rolled-back`})`;
      throw new Error("rollback");
    });
    await expect(rolledBack).rejects.toThrow("rollback");
    let id = "";
    await sql.begin(async (tx) => {
      const [row] = await tx<{ id: string }[]>`
        select net.http_get(${`${target.url}/committed`})::text as id
      `;
      id = row?.id ?? "";
      // Another transaction's request wakes the worker meanwhile.
      await responseTo(await get("/other"));
      expect(arrivalsAt("/committed")).toHaveLength(0);
    });
    await responseTo(id);
    await responseTo(await get("/last"));
    expect(target.arrivals.map((arrival) => arrival.path)).toEqual(["/other", "/committed", "/last"]);
  });

  it("that was inserted by hand waits until something else wakes the worker", async () => {
    await start();
    await responseTo(await get("/first"));
    await sql`
      insert into net.http_request_queue (method, url, headers, timeout_milliseconds)
      values ('GET', ${`${target.url}/by-hand`}, '{}', 1000)
    `;
    const [queued] = await sql<{ id: string }[]>`select id::text from net.http_request_queue`;
    await sql`select net.wake()`;
    expect(await responseTo(queued?.id ?? "")).toMatchObject({ status: 200 });
  });

  it("may be made and read by every role", async () => {
    await start();
    const asAnon = async <T>(act: (tx: postgres.TransactionSql) => Promise<T[]>): Promise<T[]> => {
      let rows: T[] = [];
      await sql.begin(async (tx) => {
        await tx`set local role anon`;
        rows = await act(tx);
      });
      return rows;
    };
    const [row] = await asAnon(
      (tx) => tx<{ id: string }[]>`select net.http_get(${`${target.url}/teapot`})::text as id`,
    );
    const { status, content } = await waitUntil("anon can read the answer", async () => {
      const [response] = await asAnon(
        (tx) => tx<{ status: number; content: string }[]>`
          select status_code as status, content from net._http_response where id = ${row?.id ?? ""}::bigint
        `,
      );
      return response;
    });
    expect({ status, content }).toEqual({ status: 418, content: "short and stout" });
  });
});

describe("an answer", () => {
  it.each([
    ["/empty", { status: 204, content: null }],
    ["/nul", { status: 200, content: "before" }],
    ["/latin1", { status: 200, content: "a\u{fffd}b" }],
    ["/away", { status: 418, content: "short and stout" }],
  ])("at %s is kept as far as text can hold it", async (path, expected) => {
    await start();
    expect(await responseTo(await get(path))).toMatchObject({ ...expected, error: null });
  });

  it.each([
    ["/circle", "Number of redirects hit maximum amount"],
    ["/ftp", "Unsupported protocol"],
    ["ftp://127.0.0.1/", "Unsupported protocol"],
    ["http://no-such-host.invalid/", "Couldn't resolve host name"],
  ])("that cannot come from %s is an error", async (path, error) => {
    await start();
    expect(await responseTo(await get(path))).toEqual({
      status: null,
      type: null,
      headers: null,
      content: null,
      timed_out: false,
      error,
    });
  });

  it("that is refused, broken or missing is an error", async () => {
    await start();
    const garbage = await startRawTarget("this is not HTTP\r\n\r\n");
    const silence = await startRawTarget("");
    const halfway = await startRawTarget("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
    const closed = await startRawTarget("");
    await closed.close();
    const errors: (string | null)[] = [];
    for (const { url } of [garbage, silence, halfway, closed]) {
      const response = await responseTo(await get(url));
      expect(response).toMatchObject({ status: null, content: null, timed_out: false });
      errors.push(response.error);
    }
    expect(errors[0]).toBe("Weird server reply");
    expect(errors[1]).toBe("Server returned nothing (no headers, no data)");
    expect(errors[2]).toBeTruthy();
    expect(errors[3]).toBe("Couldn't connect to server");
    await Promise.all([garbage, silence, halfway].map((server) => server.close()));
  });

  it("that takes too long is a timeout, and the rest of its batch waits for it", async () => {
    await start();
    const [row] = await sql<{ slow: string; quick: string }[]>`
      select
        net.http_get(${`${target.url}/hold`}, timeout_milliseconds := 300)::text as slow,
        net.http_get(${`${target.url}/teapot`})::text as quick
    `;
    const quick = await responseTo(row?.quick ?? "");
    // The batch is one transaction: when the quick answer is there, so is the slow one.
    const [slow] = await responsesTo(row?.slow ?? "");
    expect(quick).toMatchObject({ status: 418 });
    expect(slow).toMatchObject({ status: null, content: null, timed_out: true });
    expect(slow?.error).toMatch(
      /^Timeout of 300 ms reached\. Total time: [\d.]+ ms \(DNS time: [\d.]+ ms, TCP\/SSL handshake time: [\d.]+ ms, HTTP Request\/Response time: [\d.]+ ms\)$/,
    );
  });
});

describe("the worker", () => {
  it("sends again what it had under way when its backend is terminated", async () => {
    await start();
    const id = await get("/hold");
    await waitUntil("the request has arrived", async () => held[0]);
    const pid = await workerPid();
    await sql`select pg_catalog.pg_terminate_backend(${pid})`;
    held[0]?.end("too late");
    await waitUntil("the request has arrived again", async () => held[1]);
    held[1]?.end("second");
    expect(await responseTo(id)).toMatchObject({ status: 200, content: "second" });
    expect(await responsesTo(id)).toHaveLength(1);
    expect(await workerPid()).not.toBe(pid);
  });

  it("is woken again after its backend was terminated while it waited", async () => {
    await start();
    await sql`select pg_catalog.pg_terminate_backend(${await workerPid()})`;
    expect(await responseTo(await get("/teapot"))).toMatchObject({ status: 418 });
    expect(await responseTo(await get("/teapot"))).toMatchObject({ status: 418 });
  });

  it("logs in anew on net.worker_restart, and works on", async () => {
    await start();
    const pid = await workerPid();
    expect([...(await sql`select net.worker_restart() as done`)]).toEqual([{ done: true }]);
    await waitUntil("the worker is another one", async () =>
      (await workerPid()) === pid ? undefined : true,
    );
    await sql`select net.wait_until_running()`;
    await sql`select net.check_worker_is_up()`;
    expect(await responseTo(await get("/teapot"))).toMatchObject({ status: 418 });
  });

  it("sends more than a batch", async () => {
    await start();
    await sql`select net.http_get(${`${target.url}/many`}) from generate_series(1, 450)`;
    await waitUntil("all are answered", async () => {
      const rows = await sql`select from net._http_response where status_code = 200`;
      return rows.length === 450 ? true : undefined;
    });
    expect(arrivalsAt("/many")).toHaveLength(450);
  });

  it("deletes responses after six hours", async () => {
    await sql`
      insert into net._http_response (id, created)
      values (-1, now() - interval '6 hours 1 minute'), (-2, now() - interval '5 hours 59 minutes')
    `;
    await start();
    await responseTo(await get("/teapot"));
    expect([await responsesTo("-1"), await responsesTo("-2")].map((rows) => rows.length)).toEqual([0, 1]);
  });

  it("sends what was queued while there was none, and check_worker_is_up complains meanwhile", async () => {
    await expect(sql`select net.check_worker_is_up()`).rejects.toMatchObject({ code: "P0001" });
    const id = await get("/teapot");
    await start();
    expect(await responseTo(id)).toMatchObject({ status: 418 });
    await sql`select net.check_worker_is_up()`;
  });

  it("is alone: a second one waits until the first stops", async () => {
    const stopFirst = await start();
    const waiting: string[] = [];
    await start((line) => waiting.push(line));
    expect(waiting).toHaveLength(1);
    await responseTo(await get("/first"));
    await stopFirst();
    await responseTo(await get("/second"));
    expect(target.arrivals).toHaveLength(2);
  });

  it("leaves no connection when it stops, and what was under way is sent by the next one", async () => {
    const stop = await start();
    const id = await get("/hold");
    await waitUntil("the request has arrived", async () => held[0]);
    await stop();
    await backendsAreGone();
    expect(await responsesTo(id)).toHaveLength(0);
    await start();
    await waitUntil("the request has arrived again", async () => held[1]);
    held[1]?.end("done");
    expect(await responseTo(id)).toMatchObject({ content: "done" });
  });
});

describe("the functions of schema net", () => {
  it("http_post accepts no content type but application/json, letter by letter", async () => {
    const post = (headers: string): Promise<unknown> =>
      sql`select net.http_post(${target.url}, '{}', headers := ${headers}::text::jsonb)`;
    for (const value of ["application/json; charset=utf-8", "text/plain", "Application/JSON"]) {
      await expect(post(JSON.stringify({ "CONTENT-TYPE": value }))).rejects.toMatchObject({ code: "P0001" });
    }
    await post('{"content-TYPE": "application/json"}');
  });

  it.each(["", "localhost:8080", "no url", "http://", "http://a b/", "/path"])(
    "refuse %j at once, as libcurl does",
    async (url) => {
      await expect(sql`select net.http_get(${url})`).rejects.toMatchObject({ code: "XX000" });
    },
  );

  it("encode parameters and append them to the query", async () => {
    const [row] = await sql`
      select
        net._urlencode_string('a b/ü&=~-._') as text,
        net._urlencode_string('') as empty,
        net._encode_url_with_params_array('HTTP://Host', '{}') as bare,
        net._encode_url_with_params_array('http://host/p?a=1#f', '{b=2,c=3}') as full
    `;
    expect(row).toEqual({
      text: "a%20b%2F%C3%BC%26%3D~-._",
      empty: "",
      bare: "http://Host/",
      full: "http://host/p?a=1&b=2&c=3#f",
    });
  });

  it("_http_collect_response waits for an answer or says that there is none", async () => {
    await start();
    const collect = async (id: string, async: boolean): Promise<unknown> => {
      const [row] = await sql`
        select (res).status, (res).message, ((res).response).status_code as code
        from net._http_collect_response(${id}::bigint, ${async}) as res
      `;
      return row;
    };
    expect(await collect("-5", true)).toEqual({
      status: "ERROR",
      message: "request matching request_id not found",
      code: null,
    });
    expect(await collect(await get("/teapot"), false)).toEqual({
      status: "SUCCESS",
      message: "ok",
      code: 418,
    });
    expect(await collect(await get("ftp://127.0.0.1/"), false)).toEqual({
      status: "ERROR",
      message: "Unsupported protocol",
      code: null,
    });
    await expect(sql`select net.http_collect_response(1)`).rejects.toMatchObject({ code: "42601" });
  });

  it("keep requests and responses in unlogged tables that every login may write", async () => {
    const rows = await sql<{ name: string; kind: string; open: boolean }[]>`
      select
        cls.relname as name,
        cls.relpersistence as kind,
        pg_catalog.has_table_privilege('anon', cls.oid, 'insert, delete') as open
      from pg_catalog.pg_class as cls
      where cls.relnamespace = 'net'::regnamespace and cls.relkind = 'r'
      order by cls.relname
    `;
    expect([...rows]).toEqual([
      { name: "_http_response", kind: "u", open: true },
      { name: "http_request_queue", kind: "u", open: true },
    ]);
  });
});
