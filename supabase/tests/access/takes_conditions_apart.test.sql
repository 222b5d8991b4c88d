begin;

select plan(12);

create function pg_temp.parts(expression text)
returns text
language sql
as $$
  select array_to_string(runbook.condition_leaves(runbook.condition_tree(expression)), ' | ');
$$;

select is(pg_temp.parts('(a = 1)'), 'a = 1', 'one condition is one part');
select is(pg_temp.parts('((a = 1) AND (b = 2))'), 'a = 1 | b = 2', 'and joins parts');
select is(
  pg_temp.parts('((a = 1) OR ((b = 2) AND (c = 3)))'), 'a = 1 | b = 2 | c = 3', 'or as well, nested'
);
select is(
  pg_temp.parts($$((a = ') AND ('::text) OR (b = E'\\'') AND '))$$),
  $$a = ') AND ('::text | b = E'\\'') AND '$$,
  'words in texts are no words'
);
select is(
  pg_temp.parts('(("AND" = 1) AND (" OR ""( " = 2))'), '"AND" = 1 | " OR ""( " = 2',
  'nor those in names'
);
select is(
  pg_temp.parts('(EXISTS ( SELECT 1 FROM t WHERE ((t.a = 1) AND (t.b = 2))))'),
  'EXISTS ( SELECT 1 FROM t WHERE ((t.a = 1) AND (t.b = 2)))',
  'a subquery stays whole'
);
select is(
  pg_temp.parts('( SELECT (a AND b) AS c)'), 'SELECT (a AND b) AS c', 'so does a scalar one'
);
select is(
  runbook.condition_decision(
    runbook.condition_tree('((a) AND ((b) OR (c)))'), '{"a": "true", "b": "false", "c": "null"}'
  ),
  '{"word": "null", "decided_by": [{"expression": "c", "verdict": "null"}]}',
  'null decides where nothing is false'
);
select is(
  runbook.condition_decision(
    runbook.condition_tree('((a) AND ((b) OR (c)))'), '{"a": "null", "b": "false", "c": "false"}'
  ),
  '{"word": "false", "decided_by": [
    {"expression": "b", "verdict": "false"}, {"expression": "c", "verdict": "false"}
  ]}',
  'false decides an and, and all of a false or'
);

select is(
  runbook.joined_words(
    runbook.condition_tree('(((a) OR (b)) AND (c))'), '{"a": "error", "b": "true", "c": "false"}'
  ),
  array['error', 'false'],
  'what raises ahead of what decides an or raises'
);
select is(
  runbook.joined_words(
    runbook.condition_tree('(((b) OR (a)) AND (c))'), '{"a": "error", "b": "true", "c": "false"}'
  ),
  array['true', 'false'],
  'what stands behind it is not evaluated'
);
select is(
  runbook.joined_words(
    runbook.condition_tree('(((((c) AND (a))) OR (b)) AND (c))'),
    '{"a": "error", "b": "true", "c": "false"}'
  ),
  array['true', 'false'],
  'nor behind what decides an and'
);

select * from finish();
rollback;
