begin;

select plan(11);

create function pg_temp.problems(value jsonb)
returns jsonb
language sql
as $$
  select runbook.problems(
    '{
      "type": "object",
      "properties": {
        "email": {"type": "string", "minLength": 1, "maxLength": 5},
        "days": {"type": "integer"},
        "force": {"type": "boolean"}
      },
      "required": ["email"],
      "additionalProperties": false
    }',
    value
  );
$$;

select is(pg_temp.problems('{"email": "a@b.c", "days": 3, "force": true}'), '[]', 'what fits fits');

select is(
  pg_temp.problems('{"days": 1}'),
  '[{"path": "email", "message": "is required"}]',
  'a missing parameter is named'
);

select is(
  pg_temp.problems('{"email": "a", "emial": "b"}'),
  '[{"path": "emial", "message": "is not a known parameter; known are days, email, force"}]',
  'an unknown parameter is named'
);

select is(
  pg_temp.problems('{"email": null, "days": 1.5, "force": "yes"}'),
  '[
    {"path": "days", "message": "must be of type integer, not 1.5"},
    {"path": "email", "message": "must be of type string, not null"},
    {"path": "force", "message": "must be of type boolean, not \"yes\""}
  ]',
  'each wrong type is named, null among them'
);

select is(
  pg_temp.problems('{"email": "a", "days": "3"}'),
  '[{"path": "days", "message": "must be of type integer, not \"3\""}]',
  'a number in quotes is no number'
);

select is(
  pg_temp.problems('{"email": ""}'),
  '[{"path": "email", "message": "must not be empty"}]',
  'too short is named'
);

select is(
  pg_temp.problems('{"email": "123456"}'),
  '[{"path": "email", "message": "must have at most 5 characters, not 6"}]',
  'too long is named'
);

select is(pg_temp.problems('{"email": "ééééé"}'), '[]', 'characters count, not bytes');

select is(
  pg_temp.problems('["email"]'),
  '[{"path": "", "message": "must be an object"}]',
  'an array is no object'
);

select is(
  pg_temp.problems(null),
  '[{"path": "", "message": "must be an object"}]',
  'nothing is no object'
);

select throws_ok(
  $$ select runbook.diagnose('login', '{"email": 7}') $$,
  'RB400', null, 'a diagnosis refuses parameters with problems'
);

select * from finish();
rollback;
