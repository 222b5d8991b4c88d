import type postgres from "postgres";
import { z } from "zod";

/** One row of net.http_request_queue. */
export interface NetRequest {
  id: string;
  method: string;
  url: string;
  headers: readonly (readonly [string, string])[];
  body: Buffer | null;
  /** 0 is no limit. */
  timeoutMilliseconds: number;
}

/** One row of net._http_response: an answer, or why there is none. */
export type NetResponse =
  | {
      id: string;
      statusCode: number;
      contentType: string | null;
      headers: Record<string, string>;
      content: string | null;
    }
  | { id: string; timedOut: boolean; errorMessage: string };

const requestRows = z.array(
  z.object({
    id: z.string(),
    method: z.string(),
    url: z.string(),
    headers: z.array(z.tuple([z.string(), z.string().nullable()])).nullable(),
    body: z.instanceof(Buffer).nullable(),
    timeout_milliseconds: z.int(),
  }),
);

/** Deletes up to `limit` responses that are older than six hours and says how many there were. */
export async function deleteExpiredResponses(sql: postgres.Sql, limit: number): Promise<number> {
  const { count } = await sql`
    delete from net._http_response as res
    using (
      select old.ctid
      from net._http_response as old
      where old.created < now() - interval '6 hours'
      order by old.created
      limit ${limit}
    ) as expired
    where res.ctid = expired.ctid
  `;
  return count;
}

/**
 * Opens the transaction of a batch. It is made of plain statements because the client's own transactions end the whole
 * process when their backend is terminated: they roll back on the connection that is gone.
 */
export async function beginBatch(sql: postgres.Sql): Promise<void> {
  await sql`begin`;
}

/** Commits the transaction of a batch. */
export async function commitBatch(sql: postgres.Sql): Promise<void> {
  await sql`commit`;
}

/**
 * Takes up to `limit` requests out of the queue, the oldest first; a rollback puts them back. Takes none when the backend is
 * no longer the one whose transaction was opened.
 */
export async function takeRequests(sql: postgres.Sql, pid: number, limit: number): Promise<NetRequest[]> {
  const rows = requestRows.parse(
    await sql`
      delete from net.http_request_queue as req
      using (
        select queued.id
        from net.http_request_queue as queued
        order by queued.id
        limit ${limit}
      ) as batch
      where req.id = batch.id and pg_catalog.pg_backend_pid() = ${pid}
      returning
        req.id::text as id,
        req.method::text as method,
        req.url,
        (
          select jsonb_agg(jsonb_build_array(header.name, header.value))
          from jsonb_each_text(req.headers) as header (name, value)
        ) as headers,
        req.body,
        req.timeout_milliseconds
    `,
  );
  return rows.map(({ headers, timeout_milliseconds: timeoutMilliseconds, ...row }) => ({
    ...row,
    // As in pg_net a header without a value is not sent.
    headers: (headers ?? []).flatMap(([name, value]) => (value === null ? [] : [[name, value] as const])),
    timeoutMilliseconds,
  }));
}

/**
 * Records the responses of a batch, if the backend is still the one that took its requests.
 * @returns How many were recorded: all of them or none.
 */
export async function insertResponses(
  sql: postgres.Sql,
  pid: number,
  responses: readonly NetResponse[],
): Promise<number> {
  const rows = responses.map((response) =>
    "errorMessage" in response
      ? { id: response.id, timed_out: response.timedOut, error_msg: response.errorMessage }
      : {
          id: response.id,
          status_code: response.statusCode,
          content_type: response.contentType,
          headers: response.headers,
          content: response.content,
          timed_out: false,
        },
  );
  const { count } = await sql`
    insert into net._http_response (id, status_code, content_type, headers, content, timed_out, error_msg)
    select
      row.id,
      row.status_code,
      row.content_type,
      row.headers,
      row.content,
      row.timed_out,
      row.error_msg
    from pg_catalog.jsonb_to_recordset(${sql.json(rows)}) as row (
      id bigint,
      status_code integer,
      content_type text,
      headers jsonb,
      content text,
      timed_out boolean,
      error_msg text
    )
    where pg_catalog.pg_backend_pid() = ${pid}
  `;
  return count;
}
