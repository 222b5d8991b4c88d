begin;

select plan(18);

create function pg_temp.gist(statement text)
returns text
language sql
as $$
  select runbook.statement_gist(statement);
$$;

select is(
  pg_temp.gist($$select * from auth.users where email = 'jan@example.org' and id = 42$$),
  'select * from auth.users where email = ? and id = ?',
  'texts and numbers are left out'
);
select is(
  pg_temp.gist('select a1, "Jan''s ""table"" 2" from t where id = $1'),
  'select a1, "Jan''s ""table"" 2" from t where id = $1',
  'names and parameters stay'
);
select is(pg_temp.gist($$select 'it''s Jan' || 'x'$$), 'select ? || ?', 'a quote may be doubled');
select is(pg_temp.gist($$select E'it\'s Jan', 1$$), 'select ?, ..', 'or escaped');
select is(
  pg_temp.gist($$select * from t where a like'abc\' and b = 'Jan'$$),
  'select * from t where a like? and b = ?',
  'a backslash escapes nothing elsewhere'
);
select is(
  pg_temp.gist($$update t set a = 'Jan and the rest is cut$$),
  'update t set a = ?',
  'a text that the server cut off is left out'
);
select is(
  pg_temp.gist(e'select 1 -- Jan\n/* Piet */ from /* open Jan'),
  'select ? from',
  'comments are left out'
);
select is(
  pg_temp.gist('select a /* one /* two */ Jan */ from t'), 'select a ..',
  'after a comment in a comment nothing is told'
);
select is(
  pg_temp.gist($q$do $x$ begin perform 'Jan'; end $x$$q$), 'do ..',
  'after the beginning of a body nothing is told'
);
select is(
  pg_temp.gist('select a in (1, 2, 3) and b in (4)'), 'select a in (?, ..) and b in (?)',
  'lists are shortened'
);
select is(pg_temp.gist(e'select\n\t  a'), 'select a', 'white space is one blank');
select is(char_length(pg_temp.gist(repeat('select a ', 500))), 120, 'it has an end');
select is(
  pg_temp.gist('select count(*) from t ; '), 'select count(*) from t',
  'it goes into a sentence without its own end'
);
select is(pg_temp.gist('$x$ Jan $x$'), null, 'of nothing but a body nothing is told');
select is(pg_temp.gist('-- nothing'), null, 'of nothing nothing is told');
select is(pg_temp.gist(''), null, 'nor of an empty text');
select is(pg_temp.gist(null), null, 'nor of none');
select is(
  pg_temp.gist('select 0x1F, 1.5e10, .5, 3 from t2'), 'select ?, .., .?, .. from t2',
  'numbers of all kinds are left out'
);

select * from finish();
rollback;
