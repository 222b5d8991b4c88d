begin;

select plan(9);

create function pg_temp.refusal(params jsonb)
returns jsonb
language plpgsql
as $$
declare
  v_detail text;
begin
  perform runbook.diagnose('login', refusal.params);
  return null;
exception
  when sqlstate 'RB400' then
    get stacked diagnostics v_detail = pg_exception_detail;
    return jsonb_path_query_array(v_detail::jsonb, '$[*].path');
end;
$$;

insert into auth.users (instance_id, id, aud, email, email_confirmed_at, encrypted_password)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-000000000601',
  'authenticated',
  'Jona@test.example',
  now(),
  'x'
);

select is(pg_temp.refusal('{}'), '["email", "user_id"]', 'nobody is refused, with both ways');

select is(
  pg_temp.refusal('{"email": "a@b.c", "user_id": "bbbbbbbb-0000-4000-8000-000000000601"}'),
  '["email", "user_id"]',
  'two are refused'
);

select is(pg_temp.refusal('{"user_id": "1"}'), '["user_id"]', 'a short id is refused');

select is(
  pg_temp.refusal(jsonb_build_object('user_id', repeat('''', 36))),
  '["user_id"]',
  'so is one that is no UUID'
);

select is(pg_temp.refusal('{"email": null}'), '["email"]', 'null is no address');

select is(
  runbook.diagnose('login', '{"user_id": "bbbbbbbb-0000-4000-8000-000000000601"}') -> 'findings',
  '[]',
  'an id is enough'
);

select is(
  runbook.diagnose('login', '{"user_id": "BBBBBBBB-0000-4000-8000-000000000601"}') ->> 'subject',
  'BBBBBBBB-0000-4000-8000-000000000601',
  'the subject is what was asked for'
);

select is(
  runbook.diagnose('login', '{"email": "jona@TEST.example"}') -> 'findings',
  '[]',
  'Auth does not tell capitals from small letters, on either side'
);

select is(
  runbook.diagnose('login', '{"user_id": "bbbbbbbb-0000-4000-8000-000000000602"}')
    #>> '{findings,0,code}',
  'no_such_user',
  'an id of nobody is a finding'
);

select * from finish();
rollback;
