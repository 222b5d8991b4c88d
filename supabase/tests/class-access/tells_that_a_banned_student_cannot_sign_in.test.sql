begin;

select plan(4);

create function pg_temp.codes(issue text, more jsonb default '{}')
returns text[]
language sql
as $$
  select array(
    select item ->> 'code'
    from jsonb_array_elements(
      runbook.diagnose(issue, '{"email": "ok@demo.example"}'::jsonb || more) -> 'findings'
    ) as given (item)
  );
$$;

select ok(
  not 'banned' = any (pg_temp.codes('class-access')), 'a student who may sign in is not banned'
);

update auth.users as usr
set banned_until = now() + interval '1 day'
where usr.email = 'ok@demo.example';
select is(
  (pg_temp.codes('class-access'))[1], 'banned', 'a ban comes before what the policies would show'
);
select ok(
  'banned' = any (
    pg_temp.codes('forum', '{"class_id": "30000000-0000-4000-8000-000000000001"}')
  ),
  'the forum says so too'
);

update auth.users as usr
set banned_until = now() - interval '1 day'
where usr.email = 'ok@demo.example';
select ok(not 'banned' = any (pg_temp.codes('class-access')), 'a ban that is over is none');

select * from finish();
rollback;
