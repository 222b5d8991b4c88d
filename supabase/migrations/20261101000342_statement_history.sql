-- Statements over time: each hour what they have gained since the hour before. So "since yesterday"
-- and "slower since the deployment" can be asked, without resetting what others read.
-- Relies on: runbook.statement_figures, the collectors.

create table runbook.statement_snapshot (
  id bigint generated always as identity,
  taken_at timestamptz not null default clock_timestamp(),
  began_at timestamptz,
  statements integer not null,
  calls bigint not null,
  total_ms double precision not null,
  forgotten bigint,
  constraint statement_snapshot_pkey primary key (id)
);

create index statement_snapshot_taken_at_idx on runbook.statement_snapshot (taken_at);

comment on table runbook.statement_snapshot is
'What all statements together did between began_at and taken_at. Real clock.';
comment on column runbook.statement_snapshot.began_at is
'The snapshot before, or a reset after it; null for the first, which only sets a mark.';
comment on column runbook.statement_snapshot.forgotten is
'How often since its reset pg_stat_statements made room by forgetting; figures then are too low.';

revoke all on table runbook.statement_snapshot from public;
grant select on table runbook.statement_snapshot to runbook_viewer;

create table runbook.statement_gain (
  snapshot_id bigint not null,
  userid oid not null,
  dbid oid not null,
  queryid bigint not null,
  toplevel boolean not null,
  calls bigint not null,
  total_ms double precision not null,
  rows bigint not null,
  blocks bigint not null,
  blocks_read bigint not null,
  temp_blocks bigint not null,
  constraint statement_gain_pkey primary key (snapshot_id, userid, dbid, queryid, toplevel),
  constraint statement_gain_snapshot_fkey foreign key (snapshot_id)
    references runbook.statement_snapshot (id) on delete cascade
);

comment on table runbook.statement_gain is
'What one statement of one role did in the time of a snapshot: the 200 with the most time, and the
200 with the most calls.';

revoke all on table runbook.statement_gain from public;
grant select on table runbook.statement_gain to runbook_viewer;

-- The row is rewritten when the statement was called, so it leaves room on its page.
create table runbook.statement_mark (
  userid oid not null,
  dbid oid not null,
  queryid bigint not null,
  toplevel boolean not null,
  calls bigint not null,
  total_ms double precision not null,
  rows bigint not null,
  blocks bigint not null,
  blocks_read bigint not null,
  temp_blocks bigint not null,
  first_seen_at timestamptz not null,
  seen_at timestamptz not null,
  constraint statement_mark_pkey primary key (userid, dbid, queryid, toplevel)
) with (fillfactor = 50);

comment on table runbook.statement_mark is
'The counters of each statement as the last snapshot found them.';
comment on column runbook.statement_mark.first_seen_at is
'-infinity for what was there when the runbook began to watch.';

revoke all on table runbook.statement_mark from public;

create table runbook.statement_text (
  dbid oid not null,
  queryid bigint not null,
  query text not null,
  columns jsonb not null,
  constraint statement_text_pkey primary key (dbid, queryid)
);

comment on table runbook.statement_text is
'The texts of the statements in runbook.statement_gain and of those that a day''s window holds
besides, without literals.';

comment on column runbook.statement_text.columns is
'By which columns it asks, as runbook.statement_columns reads it.';

revoke all on table runbook.statement_text from public;
grant select on table runbook.statement_text to runbook_viewer;

-- Texts of statements: from the runbook's own table, else from the extension. It can only hand out
-- all of them at once, so it is asked only when one is missing. columns is null where nobody has
-- read the text yet.
create function runbook.statement_texts(dbids oid[], queryids bigint[])
returns table (
  dbid oid,
  queryid bigint,
  query text,
  columns jsonb
)
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_missing_dbids oid[];
  v_missing_queryids bigint[];
  v_schema name;
begin
  select array_agg(asked.dbid), array_agg(asked.queryid)
  into v_missing_dbids, v_missing_queryids
  from unnest(statement_texts.dbids, statement_texts.queryids) as asked (dbid, queryid)
  left join runbook.statement_text as txt
    on txt.dbid = asked.dbid and txt.queryid = asked.queryid
  where txt.queryid is null;

  if v_missing_dbids is not null then
    select ext.schema_name
    into v_schema
    from runbook.statements_extension() as ext
    where ext.reason is null;
  end if;

  if v_schema is not null then
    return query execute format(
      'select distinct on (sta.dbid, sta.queryid)
        sta.dbid, sta.queryid, runbook.shown_statement(sta.query), null::jsonb
      from unnest($1, $2) as asked (dbid, queryid)
      inner join %I.pg_stat_statements(true) as sta
        on sta.dbid = asked.dbid and sta.queryid = asked.queryid
      where sta.query is not null',
      v_schema
    )
    using v_missing_dbids, v_missing_queryids;
  end if;

  return query
  select distinct on (txt.dbid, txt.queryid) txt.dbid, txt.queryid, txt.query, txt.columns
  from unnest(statement_texts.dbids, statement_texts.queryids) as asked (dbid, queryid)
  inner join runbook.statement_text as txt
    on txt.dbid = asked.dbid and txt.queryid = asked.queryid;
end;
$$;

comment on function runbook.statement_texts(oid[], bigint[]) is
'The texts of the named statements, without literals, as far as they are known.';
revoke all on function runbook.statement_texts(oid[], bigint[]) from public;

-- What each statement has gained since the marks. A counter that fell, a reset after the last
-- snapshot and a statement that the extension began to count after it all begin at zero.
create function runbook.statement_gains_since_mark()
returns table (
  userid oid,
  dbid oid,
  queryid bigint,
  toplevel boolean,
  calls bigint,
  total_ms double precision,
  rows bigint,
  blocks bigint,
  blocks_read bigint,
  temp_blocks bigint,
  is_known boolean
)
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  with last_snapshot as materialized (
    select
      max(snp.taken_at) as taken_at,
      coalesce(
        (select inf.reset_at from runbook.statements_info() as inf) > max(snp.taken_at),
        false
      ) as was_reset
    from runbook.statement_snapshot as snp
  )
  select
    fig.userid,
    fig.dbid,
    fig.queryid,
    fig.toplevel,
    fig.calls - coalesce(mrk.calls, 0),
    fig.total_ms - coalesce(mrk.total_ms, 0),
    fig.rows - coalesce(mrk.rows, 0),
    fig.blocks - coalesce(mrk.blocks, 0),
    fig.blocks_read - coalesce(mrk.blocks_read, 0),
    fig.temp_blocks - coalesce(mrk.temp_blocks, 0),
    mrk.queryid is not null
  from runbook.statement_figures() as fig
  cross join last_snapshot as lst
  left join runbook.statement_mark as mrk
    on mrk.userid = fig.userid
    and mrk.dbid = fig.dbid
    and mrk.queryid = fig.queryid
    and mrk.toplevel = fig.toplevel
    and not lst.was_reset
    and (fig.counted_since is null or fig.counted_since <= lst.taken_at)
    and mrk.calls <= fig.calls
    and mrk.total_ms <= fig.total_ms
  where fig.calls > coalesce(mrk.calls, 0);
$$;

comment on function runbook.statement_gains_since_mark() is
'What each statement that was called since the last snapshot has gained; all of it, where there is
none.';
revoke all on function runbook.statement_gains_since_mark() from public;

-- Takes a snapshot. The first one has nothing to compare with and only sets the marks.
create function runbook.collect_statements(keep interval)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_now timestamptz;
  v_before timestamptz;
  v_kept bigint;
  v_dbids oid[];
  v_queryids bigint[];
begin
  -- Two at once would count the same hour twice.
  lock table runbook.statement_snapshot in share row exclusive mode;

  v_now := clock_timestamp();

  -- Where there is nothing to read there is no snapshot either, so that nobody takes it for an hour
  -- without a statement.
  if exists (select from runbook.statements_extension() as ext where ext.reason is not null) then
    return 0;
  end if;

  select max(snp.taken_at)
  into v_before
  from runbook.statement_snapshot as snp;

  with gains as materialized (
    select
      gns.userid,
      gns.dbid,
      gns.queryid,
      gns.toplevel,
      gns.calls,
      gns.total_ms,
      gns.rows,
      gns.blocks,
      gns.blocks_read,
      gns.temp_blocks,
      gns.is_known,
      row_number() over (order by gns.total_ms desc) as place_by_time,
      row_number() over (order by gns.calls desc) as place_by_calls
    from runbook.statement_gains_since_mark() as gns
  ),
  snapshot as (
    insert into runbook.statement_snapshot (
      taken_at, began_at, statements, calls, total_ms, forgotten
    )
    select
      v_now,
      case when inf.reset_at > v_before then inf.reset_at else v_before end,
      count(gns.queryid),
      coalesce(sum(gns.calls), 0),
      coalesce(sum(gns.total_ms), 0),
      inf.forgotten
    from runbook.statements_info() as inf
    left join gains as gns on true
    group by inf.reset_at, inf.forgotten
    returning id
  ),
  kept as (
    insert into runbook.statement_gain (
      snapshot_id,
      userid,
      dbid,
      queryid,
      toplevel,
      calls,
      total_ms,
      rows,
      blocks,
      blocks_read,
      temp_blocks
    )
    select
      snp.id,
      gns.userid,
      gns.dbid,
      gns.queryid,
      gns.toplevel,
      gns.calls,
      gns.total_ms,
      gns.rows,
      gns.blocks,
      gns.blocks_read,
      gns.temp_blocks
    from snapshot as snp
    cross join gains as gns
    where v_before is not null
      and (gns.place_by_time <= 200 or gns.place_by_calls <= 200)
    returning dbid, queryid
  ),
  marked as (
    insert into runbook.statement_mark as mrk (
      userid,
      dbid,
      queryid,
      toplevel,
      calls,
      total_ms,
      rows,
      blocks,
      blocks_read,
      temp_blocks,
      first_seen_at,
      seen_at
    )
    select
      gns.userid,
      gns.dbid,
      gns.queryid,
      gns.toplevel,
      gns.calls,
      gns.total_ms,
      gns.rows,
      gns.blocks,
      gns.blocks_read,
      gns.temp_blocks,
      case when v_before is null then '-infinity' else v_now end,
      v_now
    from gains as gns
    where not gns.is_known
    on conflict on constraint statement_mark_pkey do update
    set
      calls = excluded.calls,
      total_ms = excluded.total_ms,
      rows = excluded.rows,
      blocks = excluded.blocks,
      blocks_read = excluded.blocks_read,
      temp_blocks = excluded.temp_blocks,
      seen_at = excluded.seen_at
  ),
  moved as (
    update runbook.statement_mark as mrk
    set
      calls = mrk.calls + gns.calls,
      total_ms = mrk.total_ms + gns.total_ms,
      rows = mrk.rows + gns.rows,
      blocks = mrk.blocks + gns.blocks,
      blocks_read = mrk.blocks_read + gns.blocks_read,
      temp_blocks = mrk.temp_blocks + gns.temp_blocks,
      seen_at = v_now
    from gains as gns
    where gns.is_known
      and mrk.userid = gns.userid
      and mrk.dbid = gns.dbid
      and mrk.queryid = gns.queryid
      and mrk.toplevel = gns.toplevel
  )
  select
    (select count(*) from kept),
    (select array_agg(kpt.dbid) from kept as kpt),
    (select array_agg(kpt.queryid) from kept as kpt)
  into v_kept, v_dbids, v_queryids;

  -- And what the checks will ask for. On the first day that is something else: a window is then all
  -- that the extension has ever counted, and to read all those texts takes a check half a second.
  select array_agg(bsy.dbid), array_agg(bsy.queryid)
  into v_dbids, v_queryids
  from (
    select kpt.dbid, kpt.queryid
    from unnest(v_dbids, v_queryids) as kpt (dbid, queryid)
    union
    select win.dbid, win.queryid
    from (
      select
        one.dbid,
        one.queryid,
        row_number() over (order by one.total_ms desc) as place_by_time,
        row_number() over (order by one.calls desc) as place_by_calls
      from runbook.statement_window(v_now - interval '1 day') as one
    ) as win
    where win.place_by_time <= 200 or win.place_by_calls <= 200
  ) as bsy;

  insert into runbook.statement_text (dbid, queryid, query, columns)
  select
    txt.dbid,
    txt.queryid,
    txt.query,
    -- Tables of other databases are not known here.
    case
      when dat.datname = current_database() then runbook.statement_columns(txt.query)
      else '[]'
    end
  from runbook.statement_texts(v_dbids, v_queryids) as txt
  left join pg_catalog.pg_database as dat on dat.oid = txt.dbid
  where txt.columns is null
  on conflict on constraint statement_text_pkey do nothing;

  -- What the extension has forgotten begins at zero when it comes back. A day later it is new:
  -- before that a reset would make everything look so.
  delete from runbook.statement_mark as mrk
  where mrk.seen_at < v_now - interval '1 day'
    and not exists (
      select
      from runbook.statement_figures() as fig
      where fig.userid = mrk.userid
        and fig.dbid = mrk.dbid
        and fig.queryid = mrk.queryid
        and fig.toplevel = mrk.toplevel
    );

  delete from runbook.statement_snapshot as snp
  where snp.taken_at < v_now - collect_statements.keep;

  delete from runbook.statement_text as txt
  where not exists (
    select
    from runbook.statement_gain as gns
    where gns.dbid = txt.dbid
      and gns.queryid = txt.queryid
  )
    and not exists (
      select
      from unnest(v_dbids, v_queryids) as bsy (dbid, queryid)
      where bsy.dbid = txt.dbid
        and bsy.queryid = txt.queryid
    );

  return 1 + v_kept;
end;
$$;

comment on function runbook.collect_statements(interval) is
'Takes a snapshot of what statements did since the one before, and returns how many rows it wrote: 0
where pg_stat_statements cannot be read.';
revoke all on function runbook.collect_statements(interval) from public;

insert into runbook.collector (name, function, every, keep, description)
values (
  'statements',
  'runbook.collect_statements',
  '1 hour',
  '14 days',
  'What the busiest statements did, hour by hour, from pg_stat_statements.'
);

-- What statements did since an instant, rounded to the snapshot before it. Where the snapshots do
-- not reach back so far it is all that the extension has counted, and began_at says since when.
create function runbook.statement_window(since timestamptz)
returns table (
  userid oid,
  dbid oid,
  queryid bigint,
  toplevel boolean,
  calls bigint,
  total_ms double precision,
  rows bigint,
  blocks bigint,
  blocks_read bigint,
  temp_blocks bigint,
  began_at timestamptz,
  all_calls bigint,
  all_ms double precision
)
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_began_at timestamptz;
  v_calls bigint;
  v_ms double precision;
begin
  if exists (
    select
    from runbook.statement_snapshot as snp
    where snp.taken_at <= statement_window.since
  ) then
    select
      coalesce(
        min(snp.began_at),
        (select max(lst.taken_at) from runbook.statement_snapshot as lst)
      ),
      coalesce(sum(snp.calls), 0),
      coalesce(sum(snp.total_ms), 0)
    into v_began_at, v_calls, v_ms
    from runbook.statement_snapshot as snp
    where snp.taken_at > statement_window.since;

    return query
    with gains as (
      select
        gns.userid,
        gns.dbid,
        gns.queryid,
        gns.toplevel,
        gns.calls,
        gns.total_ms,
        gns.rows,
        gns.blocks,
        gns.blocks_read,
        gns.temp_blocks,
        0 as live_calls,
        0.0::double precision as live_ms
      from runbook.statement_snapshot as snp
      inner join runbook.statement_gain as gns on gns.snapshot_id = snp.id
      where snp.taken_at > statement_window.since
      union all
      select
        liv.userid,
        liv.dbid,
        liv.queryid,
        liv.toplevel,
        liv.calls,
        liv.total_ms,
        liv.rows,
        liv.blocks,
        liv.blocks_read,
        liv.temp_blocks,
        liv.calls,
        liv.total_ms
      from runbook.statement_gains_since_mark() as liv
    )
    select
      gns.userid,
      gns.dbid,
      gns.queryid,
      gns.toplevel,
      sum(gns.calls)::bigint,
      sum(gns.total_ms),
      sum(gns.rows)::bigint,
      sum(gns.blocks)::bigint,
      sum(gns.blocks_read)::bigint,
      sum(gns.temp_blocks)::bigint,
      v_began_at,
      (v_calls + sum(sum(gns.live_calls)) over ())::bigint,
      v_ms + sum(sum(gns.live_ms)) over ()
    from gains as gns
    group by gns.userid, gns.dbid, gns.queryid, gns.toplevel;
  else
    return query
    select
      fig.userid,
      fig.dbid,
      fig.queryid,
      fig.toplevel,
      fig.calls,
      fig.total_ms,
      fig.rows,
      fig.blocks,
      fig.blocks_read,
      fig.temp_blocks,
      (select inf.reset_at from runbook.statements_info() as inf),
      (sum(fig.calls) over ())::bigint,
      sum(fig.total_ms) over ()
    from runbook.statement_figures() as fig;
  end if;
end;
$$;

comment on function runbook.statement_window(timestamptz) is
'What each statement did since then, and all of them together. began_at is null where nobody knows
since when pg_stat_statements counts.';
revoke all on function runbook.statement_window(timestamptz) from public;

-- The row of a check that found nothing because nothing has been counted yet: pg_stat_statements
-- was made or reset a moment ago, and no snapshot is from before. Null where there was time.
create function runbook.statements_too_new(check_name text, least_seconds numeric)
returns runbook.finding
language sql
stable
security invoker
set search_path = ''
as $$
  select runbook.counted_too_shortly(
    statements_too_new.check_name,
    extract(
      epoch from clock_timestamp() - least(
        (select min(snp.taken_at) from runbook.statement_snapshot as snp),
        (select inf.reset_at from runbook.statements_info() as inf)
      )
    ),
    statements_too_new.least_seconds
  );
$$;

comment on function runbook.statements_too_new(text, numeric) is
'Why nothing can be told from statements yet, as a finding''s row; null where it can.';
revoke all on function runbook.statements_too_new(text, numeric) from public;

-- The statements of this database that were called most, or took the most time, with the columns by
-- which they ask. Utility statements and the runbook's own are left out, and before their texts are
-- read those that stay below a check's min_calls, min_mean_ms or min_blocks (a call).
create function runbook.busiest_statements(
  settings jsonb,
  sorted_by text,
  at_most integer
)
returns table (
  userid oid,
  queryid bigint,
  toplevel boolean,
  calls bigint,
  total_ms double precision,
  rows bigint,
  blocks bigint,
  query text,
  columns jsonb,
  sent_calls bigint
)
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  with window_statements as materialized (
    select
      win.userid,
      win.dbid,
      win.queryid,
      win.toplevel,
      win.calls,
      win.total_ms,
      win.rows,
      win.blocks
    from runbook.statement_window(
      clock_timestamp()
      - make_interval(hours => (busiest_statements.settings ->> 'window_hours')::integer)
    ) as win
  ),
  sorted as (
    select
      win.userid,
      win.dbid,
      win.queryid,
      win.toplevel,
      win.calls,
      win.total_ms,
      win.rows,
      win.blocks
    from window_statements as win
    inner join pg_catalog.pg_database as dat
      on dat.oid = win.dbid and dat.datname = current_database()
    order by
      case when busiest_statements.sorted_by = 'calls' then win.calls else win.total_ms end desc,
      win.queryid
    limit busiest_statements.at_most
  ),
  top as materialized (
    select
      srt.userid,
      srt.dbid,
      srt.queryid,
      srt.toplevel,
      srt.calls,
      srt.total_ms,
      srt.rows,
      srt.blocks
    from sorted as srt
    where srt.calls >= coalesce((busiest_statements.settings ->> 'min_calls')::bigint, 0)
      and srt.total_ms / srt.calls
        >= coalesce((busiest_statements.settings ->> 'min_mean_ms')::double precision, 0)
      and srt.blocks::double precision / srt.calls
        >= coalesce((busiest_statements.settings ->> 'min_blocks')::double precision, 0)
  ),
  texts as materialized (
    select txt.queryid, txt.query, txt.columns
    from (
      select array_agg(tpp.dbid) as dbids, array_agg(tpp.queryid) as queryids
      from top as tpp
    ) as asked
    cross join lateral runbook.statement_texts(asked.dbids, asked.queryids) as txt
    where txt.query ~* '^\(*(select|insert|update|delete|merge|with|values|table)\y'
      and txt.query !~ '\yrunbook\.'
  )
  select
    tpp.userid,
    tpp.queryid,
    tpp.toplevel,
    tpp.calls,
    tpp.total_ms,
    tpp.rows,
    tpp.blocks,
    txt.query,
    coalesce(txt.columns, runbook.statement_columns(txt.query)),
    (select sum(win.calls) filter (where win.toplevel) from window_statements as win)::bigint
  from top as tpp
  inner join texts as txt on txt.queryid = tpp.queryid;
$$;

comment on function runbook.busiest_statements(jsonb, text, integer) is
'Of the busiest statements of this database, sorted by calls or by time, those that can be read.
sent_calls is how many statements of all kinds were sent to the server.';
revoke all on function runbook.busiest_statements(jsonb, text, integer) from public;

-- "What has the database been doing since yesterday?", for people in psql.
create function runbook.statements_since(
  since timestamptz default now() - interval '1 day',
  sorted_by text default 'total_ms',
  at_most integer default 20
)
returns table (
  role_name text,
  database_name text,
  calls bigint,
  total_ms numeric,
  mean_ms numeric,
  rows bigint,
  percent_of_time numeric,
  statement text,
  counted_since timestamptz
)
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_reason text := (select ext.reason from runbook.statements_extension() as ext);
begin
  if v_reason is not null then
    raise exception '%', v_reason
      using errcode = '55000', hint = 'select * from runbook.statements_extension();';
  end if;

  if statements_since.sorted_by is null
    or statements_since.sorted_by not in ('total_ms', 'mean_ms', 'calls')
  then
    raise exception 'Statements cannot be sorted by %.', quote_nullable(statements_since.sorted_by)
      using errcode = '22023', hint = 'Sort by total_ms, mean_ms or calls.';
  end if;

  return query
  with top as materialized (
    select
      win.userid,
      win.dbid,
      win.queryid,
      win.calls,
      win.total_ms,
      win.rows,
      win.began_at,
      win.all_ms,
      row_number() over (
        order by
          case statements_since.sorted_by
            when 'total_ms' then win.total_ms
            when 'mean_ms' then win.total_ms / win.calls
            else win.calls
          end desc
      ) as place
    from runbook.statement_window(statements_since.since) as win
  ),
  texts as materialized (
    select txt.dbid, txt.queryid, txt.query
    from (
      select array_agg(tpp.dbid) as dbids, array_agg(tpp.queryid) as queryids
      from top as tpp
      where tpp.place <= statements_since.at_most
    ) as asked
    cross join lateral runbook.statement_texts(asked.dbids, asked.queryids) as txt
  )
  select
    coalesce(rol.rolname::text, 'role ' || tpp.userid) collate "default",
    coalesce(dat.datname::text, 'database ' || tpp.dbid) collate "default",
    tpp.calls,
    round(tpp.total_ms::numeric, 1),
    round((tpp.total_ms / tpp.calls)::numeric, 3),
    tpp.rows,
    round((100 * tpp.total_ms / nullif(tpp.all_ms, 0))::numeric, 1),
    txt.query,
    tpp.began_at
  from top as tpp
  left join texts as txt on txt.dbid = tpp.dbid and txt.queryid = tpp.queryid
  left join pg_catalog.pg_roles as rol on rol.oid = tpp.userid
  left join pg_catalog.pg_database as dat on dat.oid = tpp.dbid
  where tpp.place <= statements_since.at_most
  order by tpp.place;
end;
$$;

comment on function runbook.statements_since(timestamptz, text, integer) is
'The statements of all roles since then, the most costly first; sorted_by is total_ms, mean_ms or
calls. Raises 55000 where pg_stat_statements cannot be read.';
revoke all on function runbook.statements_since(timestamptz, text, integer) from public;
