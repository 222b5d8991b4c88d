-- The helpers of supabase/demo/90_become.sql, which the tests of access use.
begin;

select plan(14);

select tests.become('OK@demo.example');
select is(current_user::text, 'authenticated', 'a person has the role of her token');
select is(
  auth.uid(),
  '10000000-0000-4000-8000-000000000010'::uuid,
  'a person is found by her address in any case'
);
select is(auth.jwt() ->> 'email', 'ok@demo.example', 'the claims tell her address');
select is(auth.jwt() ->> 'aal', 'aal1', 'the claims tell how surely she is herself');
select is((select count(*) from public.klassen), 2::bigint, 'policies show her two classes');
select throws_ok('select from auth.users', '42501', null, 'a person cannot read auth.users');

select tests.become(
  'admin@demo.example',
  '{"aal": "aal2", "app_metadata": {"provider": "test"}}'
);
select is(
  auth.uid(),
  '10000000-0000-4000-8000-000000000001'::uuid,
  'from one person one becomes another at once'
);
select is(
  auth.jwt() -> 'app_metadata' ->> 'provider' || ' ' || (auth.jwt() ->> 'aal'),
  'test aal2',
  'given claims replace those of the token'
);

select tests.become_anon();
select is(
  current_user::text || coalesce(auth.uid()::text, ''),
  'anon',
  'anon is nobody in particular'
);
select throws_ok('select from public.klassen', '42501', null, 'anon reads no class');

select tests.become_service_role();
select is((select count(*) from public.klassen), 8::bigint, 'service_role sees what policies hide');

select tests.become_nobody();
select is(current_user, session_user, 'nobody is the login again');
select is(auth.jwt(), null, 'nobody has no claims');
select throws_ok(
  $$ select tests.become('nobody@demo.example') $$,
  'P0002',
  null,
  'an address that nobody has is an error'
);

select * from finish();

rollback;
