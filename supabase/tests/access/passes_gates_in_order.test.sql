begin;

select plan(29);

create schema access_closed;
create table access_closed.note (id integer primary key);
create table public.access_note (id integer primary key, words text, secret_words text);
revoke all on public.access_note from anon, authenticated, service_role;
grant select (id, words), update (words) on public.access_note to authenticated;
grant insert on public.access_note to authenticated;
grant select on public.access_note to service_role;
create role access_team nologin;
create role access_stranger nologin;
grant access_team to authenticated, authenticator;

create function pg_temp.ask(question jsonb)
returns jsonb
language sql
as $$
  select runbook.explain_access(
    '{"user": "ok@demo.example", "table": "access_note", "command": "select"}'::jsonb || question
  );
$$;
create function pg_temp.gate(question jsonb, gate text)
returns text
language sql
as $$
  select item ->> 'state'
  from jsonb_array_elements(pg_temp.ask(question) -> 'gates') as given (item)
  where item ->> 'gate' = gate.gate;
$$;

select results_eq(
  $$
  select item ->> 'gate'
  from jsonb_array_elements(pg_temp.ask('{}') -> 'gates') as given (item)
  $$,
  array[
    'user', 'claims', 'role', 'schema_usage', 'grants', 'exposed', 'row_security', 'policies'
  ],
  'the gates come in their order'
);

select is(pg_temp.gate('{"user": "ok@demo.example"}', 'user'), 'pass', 'a person passes');
select is(
  pg_temp.gate('{"user": " OK@demo.example "}', 'user'), 'pass', 'an address in any case as well'
);
select is(
  pg_temp.gate('{"user": "10000000-0000-4000-8000-000000000010"}', 'user'), 'pass',
  'and her id'
);
select is(
  pg_temp.gate('{"user": "nobody@demo.example"}', 'user'), 'fail', 'an unknown address fails'
);
select is(
  pg_temp.gate('{"user": "nobody@demo.example"}', 'grants'), 'not_reached',
  'and then nothing more is asked'
);
select is(pg_temp.gate('{"user": "banned@demo.example"}', 'user'), 'fail', 'a ban fails');
select is(
  pg_temp.gate('{"user": "10000000-0000-4000-8000-000000000015"}', 'user'), 'fail',
  'a deleted account fails'
);
select is(
  pg_temp.gate('{"user": "unconfirmed@demo.example"}', 'user'), 'unknown',
  'of an unconfirmed one it is not known'
);
select is(
  pg_temp.ask('{"user": "nobody@demo.example"}') ->> 'verdict', 'denied', 'the verdict follows'
);

select is(
  pg_temp.ask('{"claims": {"aal": "aal3", "team": "red"}}') #> '{claims,aal}', '"aal3"',
  'given claims go over those of Auth'
);
select is(
  pg_temp.ask('{}') #>> '{claims,sub}', '10000000-0000-4000-8000-000000000010',
  'which are made from the account'
);
create function public.access_token_hook(event jsonb) returns jsonb language sql as 'select event';
grant execute on function public.access_token_hook(jsonb) to supabase_auth_admin;
select is(
  pg_temp.gate('{}', 'claims'), 'unknown', 'where a hook may change them, they are not known'
);

select is(
  pg_temp.gate('{"claims": {"role": "access_missing"}}', 'role'), 'fail', 'a role must exist'
);
select is(
  pg_temp.gate('{"claims": {"role": "access_stranger"}}', 'role'), 'fail',
  'and the API must be able to take it'
);
select is(
  pg_temp.gate('{"claims": {"role": "access_team"}}', 'role'), 'pass', 'a role of the team is taken'
);

select is(
  pg_temp.gate('{"table": "access_closed.note"}', 'schema_usage'), 'fail', 'a schema may be closed'
);
select is(
  pg_temp.ask('{"table": "access_closed.note"}') #> '{proof,agrees}', 'true',
  'as the database says'
);
select is(pg_temp.gate('{}', 'grants'), 'pass', 'some columns are granted');
select ok(
  pg_temp.ask('{}')
    @> '{"gates": [{"gate": "grants", "evidence": {"missing_columns": ["secret_words"],
      "select_star": false}}]}',
  'and it is told which are not, so that select * fails'
);
select is(
  pg_temp.gate('{"command": "update", "row": {"id": 2}}', 'grants'), 'fail',
  'a column that may not be updated shuts'
);
select is(
  pg_temp.gate('{"command": "update", "row": {"words": "x"}}', 'grants'), 'pass',
  'one that may does not'
);
select is(pg_temp.gate('{"command": "delete"}', 'grants'), 'fail', 'no right to delete shuts');

revoke select, update, insert on public.access_note from authenticated;
revoke select (id, words), update (words) on public.access_note from authenticated;
select is(pg_temp.gate('{}', 'grants'), 'fail', 'without a right it shuts');
grant select on public.access_note to access_team;
select is(pg_temp.gate('{}', 'grants'), 'pass', 'what a group has is inherited');

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.probe in share row exclusive mode;
delete from runbook.probe as prb
where prb.name = 'data_api';
select is(pg_temp.gate('{}', 'exposed'), 'unknown', 'what the API serves is not guessed');
select runbook.set_setting('exposed_schemas', '["graphql_public"]');
select is(
  pg_temp.ask('{}') ->> 'verdict', 'denied', 'a schema that it does not serve denies, rows or not'
);

select runbook.record_probe('data_api', true, '{"schemas": ["public"]}');
select is(pg_temp.gate('{}', 'exposed'), 'pass', 'one that it named itself is served');
select ok(
  pg_temp.ask('{}') @> jsonb_build_object(
    'gates', jsonb_build_array(
      jsonb_build_object(
        'gate', 'exposed',
        'evidence', jsonb_build_object('source', (runbook.exposed_schemas()).source)
      )
    )
  ),
  'and it is told how that is known'
);

select * from finish();
rollback;
