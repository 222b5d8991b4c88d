begin;

select plan(6);

set local client_min_messages = warning;
create table if not exists public.auth_rate_limits (
  identifier text primary key,
  blocked_until timestamptz
);
insert into public.auth_rate_limits (identifier, blocked_until)
values ('dry@test.example', '2999-01-01 00:00:00+00');

create function pg_temp.fingerprint()
returns text
language sql
as $$
  select md5(
    (select string_agg(lim::text || lim.ctid, ' ' order by lim.identifier)
    from public.auth_rate_limits as lim)
    || (select count(*)::text from runbook.run)
    || (select count(*)::text from runbook.step)
  );
$$;

create temporary table seen as
select
  pg_temp.fingerprint() as before,
  runbook.remediate('unblock-login', '{"email": "dry@test.example"}', dry_run => true) as plan;

select is(
  pg_temp.fingerprint(), (select seen.before from seen), 'a dry run leaves every row as it was'
);

select is(
  (select jsonb_build_object('run', seen.plan -> 'run', 'state', seen.plan -> 'state') from seen),
  '{"run": null, "state": "planned"}',
  'it opens no run'
);

select is(
  (
    select jsonb_build_object(
      'kind', seen.plan #> '{steps,0,kind}',
      'relation', seen.plan #> '{steps,0,relation}',
      'key', seen.plan #> '{steps,0,key}',
      'after', seen.plan #> '{steps,0,after}',
      'state', seen.plan #> '{steps,0,state}'
    )
    from seen
  ),
  '{
    "kind": "row",
    "relation": "public.auth_rate_limits",
    "key": {"identifier": "dry@test.example"},
    "after": null,
    "state": "planned"
  }',
  'it shows the row that would go'
);

select is(
  (select (seen.plan #>> '{steps,0,before,blocked_until}')::timestamptz from seen),
  '2999-01-01 00:00:00+00',
  'with the row as it is'
);

select is(
  (select seen.plan #>> '{verification,status}' from seen),
  'verified',
  'and that the trouble would be gone'
);

select is(
  runbook.remediate('unblock-login', '{"email": "free@test.example"}', true) ->> 'state',
  'no_op',
  'a plan without steps says that there is nothing to do'
);

select * from finish();
rollback;
