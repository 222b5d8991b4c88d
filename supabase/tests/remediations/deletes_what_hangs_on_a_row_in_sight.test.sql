begin;

select plan(9);

set local client_min_messages = warning;
drop table if exists public.auth_rate_limits cascade;
create table public.auth_rate_limits (
  "Weird ""Key" uuid primary key default gen_random_uuid(),
  identifier text not null,
  blocked_until timestamptz,
  reset_token text default 'canary',
  shouted text generated always as (upper(identifier)) stored
);
insert into public.auth_rate_limits (identifier, blocked_until)
values ('child@test.example', '2999-01-01 00:00:00+00');

select is(
  (
    select jsonb_object_agg(img.key, null)
    from jsonb_each(
      runbook.remediate('unblock-login', '{"email": "child@test.example"}', true)
      #> '{steps,0,before}'
    ) as img
  ),
  '{"Weird \"Key": null, "identifier": null, "blocked_until": null}',
  'an image has ugly names, no generated column and no secret'
);

create table public.test_child (
  id bigint generated always as identity primary key,
  parent uuid references public.auth_rate_limits on delete cascade
);
create table public.test_grandchild (
  a integer,
  b text,
  child bigint references public.test_child on delete cascade,
  primary key (a, b)
);
create table public.test_friend (
  id bigint primary key,
  child bigint references public.test_child on delete set null
);
insert into public.test_child (parent)
select lim."Weird ""Key"
from public.auth_rate_limits as lim
cross join generate_series(1, 2);
insert into public.test_grandchild (a, b, child)
select chd.id, 'x' || chd.id, chd.id from public.test_child as chd;
insert into public.test_friend (id, child)
select 7, min(chd.id) from public.test_child as chd;

create temporary table before as
select
  (select jsonb_agg(to_jsonb(t) order by t.id) from public.test_child as t) as child,
  (select jsonb_agg(to_jsonb(t) order by t.a) from public.test_grandchild as t) as grandchild,
  (select jsonb_agg(to_jsonb(t)) from public.test_friend as t) as friend;

create temporary table applied as
select runbook.remediate(
  'unblock-login', '{"email": "child@test.example"}', reason => 'test'
) as answer;

select is(
  (
    select string_agg(
      format('%s %s', stp ->> 'operation', stp ->> 'relation'), ', ' order by stp -> 'position'
    )
    from applied as app
    cross join jsonb_array_elements(app.answer -> 'steps') as stp
  ),
  'update public.test_friend, delete public.test_grandchild, delete public.test_child, '
  'delete public.test_grandchild, delete public.test_child, delete public.auth_rate_limits',
  'what hangs on the row is deleted or released in steps of its own, the deepest first'
);

select is_empty('select from public.test_child', 'the children are gone');

select is(
  (select app.answer -> 'undo' from applied as app),
  '{
    "available": true,
    "complete": false,
    "reason": "Secret columns (reset_token) are not recorded and do not come back."
  }',
  'the undo says what it leaves out'
);

select is(
  runbook.undo((select (app.answer #>> '{run,id}')::bigint from applied as app), reason => 'back')
  ->> 'state',
  'succeeded',
  'the undo succeeds'
);

select is(
  (
    select row(
      (select jsonb_agg(to_jsonb(t) order by t.id) from public.test_child as t),
      (select jsonb_agg(to_jsonb(t) order by t.a) from public.test_grandchild as t),
      (select jsonb_agg(to_jsonb(t)) from public.test_friend as t)
    )::text
  ),
  (select bef::text from before as bef),
  'and brings all of them back as they were, identity columns too'
);

insert into public.test_grandchild (a, b, child)
select num, 'many', (select min(chd.id) from public.test_child as chd)
from generate_series(10, 1010) as num;

select throws_ok(
  $$ select runbook.remediate('unblock-login', '{"email": "child@test.example"}', true) $$,
  '0A000', null, 'more than a thousand rows are refused'
);

select is(
  runbook.remediate(
    'unblock-login', '{"email": "child@test.example"}', reason => 'test'
  ) #>> '{run,error,sqlstate}',
  '0A000',
  'and fail as a run'
);

select is(
  (select count(*) from public.test_grandchild), 1003::bigint, 'which leaves everything as it was'
);

select * from finish();
rollback;
