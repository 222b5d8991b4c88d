-- Reading pg_stat_statements, in whichever schema and version it is installed here. Its columns
-- were renamed with 1.8, 1.10 and 1.11, and an upgraded server may run an extension of years ago;
-- so the extension's own version decides, in one place.
-- Relies on: nothing of the extension when it is installed; it is looked for when called.

-- Where the extension is and whether it can be read; `reason` says why it cannot.
create function runbook.statements_extension()
returns table (
  schema_name name,
  version integer[],
  is_absent boolean,
  reason text
)
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  select nsp.nspname, string_to_array(ext.extversion, '.')::integer[]
  into schema_name, version
  from pg_catalog.pg_extension as ext
  inner join pg_catalog.pg_namespace as nsp on nsp.oid = ext.extnamespace
  where ext.extname = 'pg_stat_statements';

  if not found then
    is_absent := true;
    reason := 'The extension pg_stat_statements is not installed in this database: create '
      || 'extension pg_stat_statements with schema extensions;';
  elsif current_setting('pg_stat_statements.track', true) is null then
    is_absent := false;
    reason := 'pg_stat_statements is installed, but the server did not load it: it must stand in '
      || 'shared_preload_libraries when the server starts.';
  elsif current_setting('compute_query_id') = 'off' then
    is_absent := false;
    reason := 'pg_stat_statements records nothing, because compute_query_id is off.';
  elsif current_setting('pg_stat_statements.track') = 'none' then
    is_absent := false;
    reason := 'pg_stat_statements records nothing, because pg_stat_statements.track is none.';
  end if;

  return next;
end;
$$;

comment on function runbook.statements_extension() is
'One row: where pg_stat_statements is, its version, and why it cannot be read, if so.';
revoke all on function runbook.statements_extension() from public;

-- The row of a check that cannot read the extension, or null where it can.
create function runbook.statements_obstacle(check_name text)
returns runbook.finding
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when ext.reason is null then null
    when ext.is_absent then runbook.not_applicable(statements_obstacle.check_name, ext.reason)
    else runbook.skipped(statements_obstacle.check_name, ext.reason)
  end
  from runbook.statements_extension() as ext;
$$;

comment on function runbook.statements_obstacle(text) is
'Why statements cannot be looked at, as a finding''s row; null where they can.';
revoke all on function runbook.statements_obstacle(text) from public;

-- What the extension counts, one row for each statement, role, database and level. Without their
-- texts, which lie in a file that may be huge. Empty where it cannot be read.
--
-- userid is the role after SET ROLE: what comes over the API counts for anon, authenticated or
-- service_role.
create function runbook.statement_figures()
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
  counted_since timestamptz
)
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_extension record;
begin
  select ext.schema_name, ext.version, ext.reason
  into v_extension
  from runbook.statements_extension() as ext;

  if v_extension.reason is not null then
    return;
  end if;

  return query execute format(
    'select sta.userid, sta.dbid, sta.queryid, %s, sta.calls, %s, sta.rows,
      sta.shared_blks_hit + sta.shared_blks_read, sta.shared_blks_read, sta.temp_blks_written, %s
    from %I.pg_stat_statements(false) as sta
    where sta.queryid is not null and sta.calls > 0',
    case when v_extension.version >= array[1, 9] then 'sta.toplevel' else 'true' end,
    case
      when v_extension.version >= array[1, 8] then 'sta.total_exec_time'
      else 'sta.total_time'
    end,
    case
      when v_extension.version >= array[1, 11] then 'sta.stats_since'
      else 'null::timestamptz'
    end,
    v_extension.schema_name
  );
end;
$$;

comment on function runbook.statement_figures() is
'What pg_stat_statements has counted, without texts. Blocks are shared blocks found in memory or
read; counted_since is known from its version 1.11 on.';
revoke all on function runbook.statement_figures() from public;

-- When the extension was reset and how often it had to forget statements, known from 1.9 on.
create function runbook.statements_info()
returns table (
  reset_at timestamptz,
  forgotten bigint
)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_extension record;
begin
  select ext.schema_name, ext.version, ext.reason
  into v_extension
  from runbook.statements_extension() as ext;

  if v_extension.reason is null and v_extension.version >= array[1, 9] then
    return query execute format(
      'select inf.stats_reset, inf.dealloc from %I.pg_stat_statements_info as inf',
      v_extension.schema_name
    );
  else
    return query select null::timestamptz, null::bigint;
  end if;
end;
$$;

comment on function runbook.statements_info() is
'One row: since when pg_stat_statements counts, and how often it made room by forgetting.';
revoke all on function runbook.statements_info() from public;

-- A statement's text for people: in one line, without comments and without any literal that the
-- extension left in. It puts a parameter for each constant of a query, but neither of a utility
-- statement (a password in CREATE ROLE) nor of one that it forgot while it was running.
create function runbook.shown_statement(query text)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  with uncommented as (
    select
      btrim(
        -- One after the other: with an alternative the longest match would win.
        regexp_replace(
          regexp_replace(left(shown_statement.query, 10000), '/\*.*?\*/', ' ', 'g'),
          '--[^\n]*',
          ' ',
          'g'
        ),
        e' \t\r\n'
      ) as text
  ),
  kinds as (
    select
      unc.text,
      unc.text ~* '^\(*(select|insert|update|delete|merge|with|values|table)\y' as is_query
    from uncommented as unc
  )
  select case
    -- The first two words say what it does.
    when not knd.is_query then substring(knd.text from '^\S*(?:\s+[A-Za-z_]+)?') || ' …'
    else left(
      regexp_replace(
        regexp_replace(
          regexp_replace(
            -- The search for the end of a dollar quote is slow, so it is made where there is one.
            case
              when knd.text ~ '\$([A-Za-z_]\w*)?\$'
                then regexp_replace(
                  regexp_replace(
                    knd.text,
                    '\$((?:[A-Za-z_]\w*)??)\$.*?\$\1\$',
                    '''…''',
                    'g'
                  ),
                  '\$([A-Za-z_]\w*)?\$.*$',
                  '''…'''
                )
              else knd.text
            end,
            '\y[eE]''(?:\\.|[^''\\]|'''')*(?:''|$)|''(?:[^'']|'''')*(?:''|$)',
            '''…''',
            'g'
          ),
          '\s+',
          ' ',
          'g'
        ),
        '(?<![\w$."])\d+(\.\d+)?\y',
        '…',
        'g'
      ),
      4000
    )
  end
  from kinds as knd;
$$;

comment on function runbook.shown_statement(text) is
'A statement in one line without literals and comments; of a utility statement its first words.';
revoke all on function runbook.shown_statement(text) from public;
