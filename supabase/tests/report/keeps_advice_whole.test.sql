begin;

select plan(6);

select is(runbook.with_advice('A story.', 'Do it.'), 'A story. Do it.', 'advice follows the story');

select is(
  runbook.with_advice(repeat('x', 292), 'Do it.'),
  repeat('x', 292) || ' Do it.',
  'a story that leaves room for it is whole'
);

select is(
  runbook.with_advice(repeat('x', 293), 'Do it.'),
  repeat('x', 291) || '… Do it.',
  'a longer one is cut, and says so'
);

select is(
  (runbook.bounded_findings(array[fnd.found]))[1].summary, (fnd.found).summary,
  'a report leaves it as it is'
)
from (
  select row(
    'a', 'warning', 'b', runbook.with_advice(repeat('x', 900), 'Do it.'), null, null, null, null
  )::runbook.finding
) as fnd (found);

select is(
  right((runbook.bounded_findings(array[fnd.found]))[1].summary, 2), 'x…',
  'what its check cut is marked as cut'
)
from (
  select row('a', 'warning', 'b', repeat('x', 300), null, null, null, null)::runbook.finding
) as fnd (found);

select is(
  (runbook.bounded_findings(array[fnd.found]))[1].summary, repeat('x', 299),
  'and what was not is not'
)
from (
  select row('a', 'warning', 'b', repeat('x', 299), null, null, null, null)::runbook.finding
) as fnd (found);

select * from finish();
rollback;
