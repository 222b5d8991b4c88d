begin;

select plan(5);

set local client_min_messages = warning;
create table public.followed (id integer primary key, code integer not null);
create unique index followed_code on public.followed (code);
alter table public.followed replica identity using index followed_code;
alter publication supabase_realtime add table public.followed;
create view public.followed_view as select * from public.followed;
create unlogged table public.followed_unlogged (id integer primary key);

create function pg_temp.fault()
returns text
language sql
as $$
  select fnd.content ->> 'code'
  from jsonb_array_elements(
    runbook.diagnose('realtime', '{"table": "followed"}') -> 'findings'
  ) as fnd (content)
  where fnd.content ->> 'subject' = 'public.followed'
    and fnd.content ->> 'severity' = 'critical';
$$;

select is(pg_temp.fault(), null, 'an index that was chosen names the old rows');
drop index public.followed_code;
select is(pg_temp.fault(), 'replica_identity_missing', 'dropped, nothing names them any more');

select throws_ok(
  format('select runbook.diagnose(''realtime'', %L)', jsonb_build_object('table', odd.name)),
  'RB400', null, odd.name || ' cannot be published'
)
from unnest(array['followed_view', 'followed_pkey', 'followed_unlogged']) as odd (name);

select * from finish();
rollback;
