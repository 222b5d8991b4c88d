begin;

select plan(6);

set local client_min_messages = warning;
create table if not exists public.auth_rate_limits (
  identifier text primary key,
  blocked_until timestamptz
);
insert into public.auth_rate_limits (identifier, blocked_until)
values ('twice@test.example', '2999-01-01 00:00:00+00');

create function pg_temp.apply(email text, key text)
returns jsonb
language sql
as $$
  select runbook.remediate(
    'unblock-login', jsonb_build_object('email', email), reason => 'test', idempotency_key => key
  );
$$;

create temporary table first as select pg_temp.apply('twice@test.example', 'key-1') as answer;

insert into public.auth_rate_limits (identifier, blocked_until)
values ('twice@test.example', '2999-01-01 00:00:00+00');

select is(
  pg_temp.apply('twice@test.example', 'key-1'),
  (select fst.answer from first as fst),
  'the same key gives the first answer again'
);

select isnt_empty(
  $$ select from public.auth_rate_limits where identifier = 'twice@test.example' $$,
  'and changes nothing'
);

select throws_ok(
  $$ select pg_temp.apply('another@test.example', 'key-1') $$,
  'RB419', null, 'the key of one request is no key for another'
);

select is(
  pg_temp.apply('twice@test.example', 'key-2') ->> 'state',
  'succeeded',
  'a new key is a new change'
);

do $$
begin
  perform runbook.enter('{"role": "service_role", "key_name": "other"}', null);
  perform set_config(
    'test.other', pg_temp.apply('another@test.example', 'key-1') ->> 'state', true
  );
end;
$$;

reset role;
select is(current_setting('test.other'), 'no_op', 'another actor may have the same key');

select throws_ok(
  $$ select pg_temp.apply('twice@test.example', repeat('k', 256)) $$,
  'RB400', null, 'a key has 255 characters at most'
);

select * from finish();
rollback;
