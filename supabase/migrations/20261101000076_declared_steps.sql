-- What a remediation's function may declare: a row inserted, updated or deleted, a call, an effect,
-- a statement, a batch. To declare changes nothing; the engine does what was declared.
-- The function returns these and nothing else.

create type runbook.declared_step as (
  kind text,
  operation text,
  relation regclass,
  key jsonb,
  summary text,
  changes jsonb,
  call jsonb,
  effect jsonb,
  statement jsonb,
  batch jsonb,
  expect jsonb,
  restores jsonb
);

comment on type runbook.declared_step is
'What a remediation''s function wants done; made by runbook.insert_step, update_step, delete_step,
call_step, effect_step, statement_step and batch_step. Of an undo, `expect` is what
must still be there and `restores` the columns that must come back exactly.';

revoke all on type runbook.declared_step from public;

-- Declares that a row be inserted.
create function runbook.insert_step(relation regclass, changes jsonb, summary text)
returns runbook.declared_step
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select row(
    'row', 'insert', insert_step.relation, null, insert_step.summary, insert_step.changes,
    null, null, null, null, null, null
  )::runbook.declared_step;
$$;

comment on function runbook.insert_step(regclass, jsonb, text) is
'Declares a new row: the columns that are given a value, as JSON.';
revoke all on function runbook.insert_step(regclass, jsonb, text) from public;

-- Declares that columns of a row be changed.
create function runbook.update_step(relation regclass, key jsonb, changes jsonb, summary text)
returns runbook.declared_step
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select row(
    'row', 'update', update_step.relation, update_step.key, update_step.summary,
    update_step.changes, null, null, null, null, null, null
  )::runbook.declared_step;
$$;

comment on function runbook.update_step(regclass, jsonb, jsonb, text) is
'Declares new values for columns of the row with this key.';
revoke all on function runbook.update_step(regclass, jsonb, jsonb, text) from public;

-- Declares that a row be deleted.
create function runbook.delete_step(relation regclass, key jsonb, summary text)
returns runbook.declared_step
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select row(
    'row', 'delete', delete_step.relation, delete_step.key, delete_step.summary,
    null, null, null, null, null, null, null
  )::runbook.declared_step;
$$;

comment on function runbook.delete_step(regclass, jsonb, text) is
'Declares that the row with this key goes, with what hangs on it.';
revoke all on function runbook.delete_step(regclass, jsonb, text) from public;

-- Declares a request to the outside world.
create function runbook.call_step(call jsonb, summary text)
returns runbook.declared_step
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select row(
    'call', 'request', null, null, call_step.summary,
    null, call_step.call, null, null, null, null, null
  )::runbook.declared_step;
$$;

comment on function runbook.call_step(jsonb, text) is
'Declares a request: {service, method, path, body, undo: {method, path, body} or null,
undo_reason}.';
revoke all on function runbook.call_step(jsonb, text) from public;

-- Declares an effect from the closed list in runbook.effect.
create function runbook.effect_step(effect text, args jsonb, summary text)
returns runbook.declared_step
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select row(
    'effect', effect_step.effect, null, null, effect_step.summary,
    null, null, effect_step.args, null, null, null, null
  )::runbook.declared_step;
$$;

comment on function runbook.effect_step(text, jsonb, text) is
'Declares an effect that a rollback does not undo, by its name in runbook.effect.';
revoke all on function runbook.effect_step(text, jsonb, text) from public;

-- Declares a statement that runs outside a transaction.
create function runbook.statement_step(shape text, args jsonb, summary text)
returns runbook.declared_step
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select row(
    'statement', statement_step.shape, null, null, statement_step.summary,
    null, null, null, statement_step.args, null, null, null
  )::runbook.declared_step;
$$;

comment on function runbook.statement_step(text, jsonb, text) is
'Declares a statement of a known shape: vacuum, analyze, create_index or drop_index.';
revoke all on function runbook.statement_step(text, jsonb, text) from public;

-- Declares that a function of runbook.batch_function be called until it is done.
create function runbook.batch_step(batch text, args jsonb, summary text)
returns runbook.declared_step
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select row(
    'batch', batch_step.batch, null, null, batch_step.summary,
    null, null, null, null, batch_step.args, null, null
  )::runbook.declared_step;
$$;

comment on function runbook.batch_step(text, jsonb, text) is
'Declares work on many rows in small transactions, by its name in runbook.batch_function.';
revoke all on function runbook.batch_step(text, jsonb, text) from public;
