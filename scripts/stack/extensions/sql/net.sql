-- The stand-in of pg_net 0.20: schema net with the tables, functions and rights of the real one,
-- where the server has none; net-worker.ts sends the requests. A request is a row of the queue,
-- inserted in its caller's transaction, and a notification wakes the worker: Postgres delivers it
-- at commit and drops it at rollback, so what was rolled back is never sent. The real one opens its
-- tables to everyone and so does this one: every login reads and forges requests.

create schema net;

grant usage on schema net to public;

create domain net.http_method as text
check (lower(value) in ('get', 'post', 'delete'));

create unlogged table net.http_request_queue (
  id bigserial,
  method net.http_method not null,
  url text not null,
  headers jsonb,
  body bytea,
  timeout_milliseconds integer not null
);

create unlogged table net._http_response (
  id bigint,
  status_code integer,
  content_type text,
  headers jsonb,
  content text,
  timed_out boolean,
  error_msg text,
  created timestamptz not null default now()
);

create index _http_response_created_idx on net._http_response (created);

create type net.request_status as enum ('PENDING', 'SUCCESS', 'ERROR');

create type net.http_response as (status_code integer, headers jsonb, body text);

create type net.http_response_result as (
  status net.request_status,
  message text,
  response net.http_response
);

grant all on all tables in schema net to public;

grant all on all sequences in schema net to public;

create function net.check_worker_is_up()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if not exists (
    select
    from pg_catalog.pg_stat_activity as act
    where act.datname = current_database() and act.application_name like 'pg_net %'
  ) then
    raise exception 'the pg_net background worker is not up'
      using
        detail = 'the pg_net background worker is down and cannot process requests',
        hint = 'make sure that you didn''t modify any of pg_net internal tables';
  end if;
end
$$;

comment on function net.check_worker_is_up() is
  'raises an exception if the pg_net background worker is not up, otherwise it doesn''t return anything';

-- Blocks, as the real one does, until statement_timeout or the worker.
create function net.wait_until_running()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  loop
    perform pg_stat_clear_snapshot();
    exit when exists (
      select
      from pg_catalog.pg_stat_activity as act
      where act.datname = current_database() and act.application_name like 'pg_net %'
    );
    perform pg_sleep(0.05);
  end loop;
end
$$;

comment on function net.wait_until_running() is 'waits until the worker is running';

create function net.wake()
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  select pg_notify('pg_net_wake', '')
$$;

comment on function net.wake() is 'Wakes the worker when this transaction commits.';

create function net.worker_restart()
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform pg_notify('pg_net_restart', '');
  return true;
end
$$;

comment on function net.worker_restart() is
  'Has the worker log in anew after its present batch; the notification leaves at commit.';

-- Every byte outside letters, digits, "-", ".", "_" and "~" becomes %XX.
create function net._urlencode_string(string character varying)
returns text
language sql
immutable
strict
security invoker
set search_path = ''
as $$
  select coalesce(
    string_agg(
      case
        when chr(byte.value) ~ '^[A-Za-z0-9._~-]$'
          then chr(byte.value)
        else '%' || upper(lpad(to_hex(byte.value), 2, '0'))
      end,
      ''
      order by byte.position
    ),
    ''
  )
  from (
    select pos.position, get_byte(text.bytes, pos.position) as value
    from (select convert_to(_urlencode_string.string, 'UTF8') as bytes) as text
    cross join lateral generate_series(0, length(text.bytes) - 1) as pos (position)
  ) as byte
$$;

comment on function net._urlencode_string(character varying) is
  'The text as a part of a URL''s query.';

-- Appends the parameters to the query of the URL, in front of its fragment, and refuses what is no
-- absolute URL.
create function net._encode_url_with_params_array(url text, params_array text[])
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_parts text[] := regexp_match(
    _encode_url_with_params_array.url,
    '^([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]+)([^?#]*)(\?[^#]*)?(#.*)?$'
  );
  v_query text;
begin
  if _encode_url_with_params_array.url ~ '^[A-Za-z][A-Za-z0-9+.-]*:(?!//)' then
    -- What libcurl answers to "localhost:8080", which it reads as a scheme.
    raise exception 'Couldn''t resolve proxy name' using errcode = 'internal_error';
  end if;
  if v_parts is null or _encode_url_with_params_array.url ~ '[[:cntrl:] ]' then
    raise exception 'URL using bad/illegal format or missing URL' using errcode = 'internal_error';
  end if;
  v_query := array_to_string(
    array_remove(substr(v_parts[4], 2) || _encode_url_with_params_array.params_array, ''),
    '&'
  );
  return concat(
    lower(v_parts[1]),
    '://',
    v_parts[2],
    coalesce(nullif(v_parts[3], ''), '/'),
    case when v_query <> '' then '?' || v_query end,
    v_parts[5]
  );
end
$$;

comment on function net._encode_url_with_params_array(text, text[]) is
  'The URL with more parameters in its query.';

create function net.http_get(
  url text,
  params jsonb default '{}'::jsonb,
  headers jsonb default '{}'::jsonb,
  timeout_milliseconds integer default 5000
)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_request_id bigint;
begin
  insert into net.http_request_queue as req (method, url, headers, timeout_milliseconds)
  values (
    'GET',
    net._encode_url_with_params_array(
      http_get.url,
      array(
        select net._urlencode_string(param.key) || '=' || net._urlencode_string(param.value)
        from jsonb_each_text(http_get.params) as param (key, value)
      )
    ),
    http_get.headers,
    http_get.timeout_milliseconds
  )
  returning req.id into v_request_id;
  perform net.wake();
  return v_request_id;
end
$$;

comment on function net.http_get(text, jsonb, jsonb, integer) is
  'Queues a GET request; its number is the id of the response.';

create function net.http_post(
  url text,
  body jsonb default '{}'::jsonb,
  params jsonb default '{}'::jsonb,
  headers jsonb default '{"Content-Type": "application/json"}'::jsonb,
  timeout_milliseconds integer default 5000
)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_headers jsonb := http_post.headers;
  v_content_type text;
  v_request_id bigint;
begin
  -- The name in any case, the value letter by letter: "; charset=utf-8" is refused.
  select header.value
  into v_content_type
  from jsonb_each_text(coalesce(v_headers, '{}'::jsonb)) as header (name, value)
  where lower(header.name) = 'content-type'
  limit 1;
  if v_content_type is null then
    v_headers := v_headers || '{"Content-Type": "application/json"}'::jsonb;
  elsif v_content_type <> 'application/json' then
    raise exception 'Content-Type header must be "application/json"';
  end if;
  insert into net.http_request_queue as req (method, url, headers, body, timeout_milliseconds)
  values (
    'POST',
    net._encode_url_with_params_array(
      http_post.url,
      array(
        select net._urlencode_string(param.key) || '=' || net._urlencode_string(param.value)
        from jsonb_each_text(http_post.params) as param (key, value)
      )
    ),
    v_headers,
    convert_to(http_post.body::text, 'UTF8'),
    http_post.timeout_milliseconds
  )
  returning req.id into v_request_id;
  perform net.wake();
  return v_request_id;
end
$$;

comment on function net.http_post(text, jsonb, jsonb, jsonb, integer) is
  'Queues a POST request with a JSON body; its number is the id of the response.';

create function net.http_delete(
  url text,
  params jsonb default '{}'::jsonb,
  headers jsonb default '{}'::jsonb,
  timeout_milliseconds integer default 5000,
  body jsonb default null
)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_request_id bigint;
begin
  insert into net.http_request_queue as req (method, url, headers, body, timeout_milliseconds)
  values (
    'DELETE',
    net._encode_url_with_params_array(
      http_delete.url,
      array(
        select net._urlencode_string(param.key) || '=' || net._urlencode_string(param.value)
        from jsonb_each_text(http_delete.params) as param (key, value)
      )
    ),
    http_delete.headers,
    convert_to(http_delete.body::text, 'UTF8'),
    http_delete.timeout_milliseconds
  )
  returning req.id into v_request_id;
  perform net.wake();
  return v_request_id;
end
$$;

comment on function net.http_delete(text, jsonb, jsonb, integer, jsonb) is
  'Queues a DELETE request; its number is the id of the response.';

-- Blocks until the response is there. A request of the same transaction is not sent yet, so it
-- blocks for ever.
create function net._await_response(request_id bigint)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  while not exists (
    select
    from net._http_response as res
    where res.id = _await_response.request_id
  ) loop
    perform pg_sleep(0.05);
  end loop;
  return true;
end
$$;

comment on function net._await_response(bigint) is
  'Waits until the response of a request has arrived.';

create function net._http_collect_response(request_id bigint, async boolean default true)
returns net.http_response_result
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_response net._http_response;
begin
  if not _http_collect_response.async then
    perform net._await_response(_http_collect_response.request_id);
  end if;
  select
    res.id,
    res.status_code,
    res.content_type,
    res.headers,
    res.content,
    res.timed_out,
    res.error_msg,
    res.created
  into v_response
  from net._http_response as res
  where res.id = _http_collect_response.request_id;
  if v_response.id is null or v_response.error_msg is not null then
    return (
      'ERROR',
      coalesce(v_response.error_msg, 'request matching request_id not found'),
      null
    )::net.http_response_result;
  end if;
  return (
    'SUCCESS',
    'ok',
    (v_response.status_code, v_response.headers, v_response.content)::net.http_response
  )::net.http_response_result;
end
$$;

comment on function net._http_collect_response(bigint, boolean) is
  'The response of a request, or that there is none; with async false it waits.';

-- The real one is deprecated and, since its query has nowhere to put the result, fails on every
-- call.
create function net.http_collect_response(request_id bigint, async boolean default true)
returns net.http_response_result
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  raise notice 'The net.http_collect_response function is deprecated.';
  raise exception 'query has no destination for result data'
    using errcode = 'syntax_error', hint = 'Read net._http_response.';
end
$$;

comment on function net.http_collect_response(bigint, boolean) is
  'Deprecated; fails on every call, as in pg_net.';
