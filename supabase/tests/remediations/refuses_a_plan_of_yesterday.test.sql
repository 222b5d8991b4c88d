begin;

select plan(5);

set local client_min_messages = warning;
create table if not exists public.auth_rate_limits (
  identifier text primary key,
  blocked_until timestamptz
);
insert into public.auth_rate_limits (identifier, blocked_until)
values ('moved@test.example', '2999-01-01 00:00:00+00');

create function pg_temp.hash()
returns text
language sql
as $$
  select
    runbook.remediate('unblock-login', '{"email": "moved@test.example"}', true) ->> 'plan_hash';
$$;

select is(pg_temp.hash(), pg_temp.hash(), 'the same world has the same plan');
select set_config('test.yesterday', pg_temp.hash(), true);

update public.auth_rate_limits
set blocked_until = '2999-01-02 00:00:00+00'
where identifier = 'moved@test.example';

select isnt(pg_temp.hash(), current_setting('test.yesterday'), 'another world has another plan');

create function pg_temp.refusal()
returns text
language plpgsql
as $$
declare
  v_detail text;
begin
  perform runbook.remediate(
    'unblock-login',
    '{"email": "moved@test.example"}',
    reason => 'test',
    plan_hash => current_setting('test.yesterday')
  );
  return 'applied';
exception
  when sqlstate 'RB409' then
    get stacked diagnostics v_detail = pg_exception_detail;
    return v_detail::jsonb ->> 'plan_hash';
end;
$$;

select is(
  pg_temp.refusal(),
  pg_temp.hash(),
  'applying the plan of yesterday is refused, with the plan of today'
);

select isnt_empty(
  $$ select from public.auth_rate_limits where identifier = 'moved@test.example' $$,
  'and nothing was done'
);

set local timezone = 'Asia/Tokyo';
set local datestyle = 'German';
select set_config('test.today', pg_temp.hash(), true);
set local timezone = 'America/Lima';
select is(pg_temp.hash(), current_setting('test.today'), 'the settings of a session do not matter');

select * from finish();
rollback;
