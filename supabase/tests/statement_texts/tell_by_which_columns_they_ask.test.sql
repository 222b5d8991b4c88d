begin;

select plan(26);

create schema lab;

create table lab.post (
  id bigint, thread_id bigint, author_id bigint, body text, created_at timestamptz, "Näme" text
);

create table lab.author (id bigint, name text);

create table lab."we'ird ""Table" (id bigint, "a ""b" text);

-- Columns that a text asks by, in its order.
create function pg_temp.asked(query text)
returns text
language sql
as $$
  select string_agg(
    format('%s.%s %s', rel.relname, att.attname, used.usage), ', ' order by used.place
  )
  from rows from (
    jsonb_to_recordset(runbook.statement_columns(query)) as (
      relation bigint, "column" int2, usage text
    )
  ) with ordinality as used (relation, "column", usage, place)
  inner join pg_catalog.pg_class as rel on rel.oid = used.relation::oid
  inner join pg_catalog.pg_attribute as att
    on att.attrelid = rel.oid and att.attnum = used."column";
$$;

create temporary table example (asked text, query text);

insert into example (asked, query)
values
  ('post.thread_id equality', 'select * from lab.post where thread_id = $1'),
  ('post.thread_id equality', 'delete from lab.post where thread_id = any($1) returning id'),
  ('post.thread_id equality', 'update lab.post set author_id = $1 where thread_id in ($2, $3)'),
  ('post.thread_id equality', 'select * from lab.post as p where p.thread_id = $1'),
  ('post.thread_id equality', 'select * from lab.post where (thread_id = _variable.id)'),
  ('post.body equality', 'select * from lab.post where body = lower(md5($1))'),
  ('post.Näme equality', 'select * from lab.post where "Näme" = $1'),
  ('we''ird "Table.a "b equality', 'select * from lab."we''ird ""Table" where "a ""b" = $1'),
  (
    'post.thread_id equality, post.created_at order_desc',
    'WITH pgrst_source AS ( SELECT "lab"."post".* FROM "lab"."post" WHERE "lab"."post"."thread_id" '
    || '= $1 ORDER BY "lab"."post"."created_at" DESC LIMIT $2 OFFSET $3 ) SELECT '
    || 'null::bigint AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total FROM ( '
    || 'SELECT * FROM pgrst_source ) _postgrest_t'
  ),
  (
    'post.created_at range, post.thread_id equality',
    'select * from lab.post where created_at >= $1 and thread_id = $2 order by id'
  ),
  (
    'post.author_id join, author.id join, author.name equality',
    'select * from lab.post p join lab.author a on a.id = p.author_id where a.name = $1'
  ),
  (
    'post.thread_id equality',
    'select count(*) filter (where author_id = $1) from lab.post where thread_id = $2'
  ),
  (
    'post.thread_id equality',
    'select case when author_id = $1 and body = $2 then $3 end from lab.post where thread_id = $4'
  ),
  -- What is not sure is left out.
  (null, 'select * from lab.post where thread_id = $1 or author_id = $2'),
  (null, 'select * from lab.post where not (thread_id = $1 and author_id = $2)'),
  (null, 'select * from lab.post where lower(body) = $1'),
  (null, 'select * from lab.post where thread_id::text = $1'),
  (null, 'select * from lab.post where coalesce(thread_id = $1, $2)'),
  (null, 'select * from lab.post where body = lower(thread_id)'),
  (null, 'select * from lab.post, lab.author where id = $1'),
  (null, 'with post as (select $1 as thread_id) select * from post where thread_id = $2'),
  (null, 'select * from lab.nowhere where thread_id = $1'),
  (null, 'select array_agg(id order by created_at) from lab.post limit $1'),
  (null, 'select * from lab."unfinished'),
  (null, ''),
  (null, null);

select is(pg_temp.asked(exa.query), exa.asked, coalesce(exa.query, 'null'))
from example as exa;

select * from finish();
rollback;
