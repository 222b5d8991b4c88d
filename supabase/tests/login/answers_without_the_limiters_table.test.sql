begin;

select plan(5);

set local client_min_messages = warning;
drop table if exists public.auth_rate_limits cascade;

select is(
  runbook.diagnose('login', '{"email": "x@test.example"}') #>> '{not_applicable,0,check}',
  'rate_limited',
  'without the table, the limit is not applicable'
);

select is(
  runbook.remediate('unblock-login', '{"email": "x@test.example"}', reason => 'test') ->> 'state',
  'no_op',
  'there is nothing to unblock'
);

create table public.auth_rate_limits (id bigint primary key, address text);

select is(
  runbook.diagnose('login', '{"email": "x@test.example"}') #>> '{not_applicable,0,check}',
  'rate_limited',
  'a table of that name with other columns is not the limiter''s'
);

drop table public.auth_rate_limits;
create table public.auth_rate_limits (identifier text, blocked_until text);
insert into public.auth_rate_limits (identifier, blocked_until) values ('x@test.example', 'soon');

select matches(
  (
    select skp.content ->> 'reason'
    from jsonb_array_elements(
      runbook.diagnose('login', '{"email": "x@test.example"}') -> 'skipped'
    ) as skp (content)
    where skp.content ->> 'check' = 'rate_limited'
  ),
  '42883',
  'a part that fails is skipped under the code that it would have found, with the SQLSTATE'
);

select is(
  runbook.diagnose('login', '{"email": "x@test.example"}') #>> '{findings,0,code}',
  'no_such_user',
  'and the other parts answer all the same'
);

select * from finish();
rollback;
