begin;

select plan(3);

set local client_min_messages = warning;
drop table if exists public.auth_rate_limits cascade;
create table public.auth_rate_limits (
  "Weird ""Key" uuid primary key default gen_random_uuid(),
  identifier text not null,
  blocked_until timestamptz,
  reset_token text not null default 'canary',
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
  id bigint primary key,
  parent uuid references public.auth_rate_limits on delete cascade
);

select throws_ok(
  $$ select runbook.remediate('unblock-login', '{"email": "child@test.example"}', true) $$,
  '0A000', null, 'a delete that would take rows elsewhere with it is refused'
);

select is(
  runbook.remediate(
    'unblock-login', '{"email": "child@test.example"}', reason => 'test'
  ) #>> '{run,error,sqlstate}',
  '0A000',
  'and fails as a run'
);

select * from finish();
rollback;
