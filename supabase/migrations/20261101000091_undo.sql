-- Undo: a run that takes another one back, by the same engine and in the same record.
--
-- Rows are restored exactly, or not at all: where they no longer hold what the run left, the undo
-- is refused and says what is different. Calls, statements and batches are taken back by their
-- opposites, where there is one.

-- A run that may be undone, for now; one that has been undone is returned too, and changes nothing.
create function runbook.run_to_undo(run_id bigint)
returns runbook.run
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_run runbook.run;
  v_undo jsonb;
begin
  select run.*
  into v_run
  from runbook.run as run
  where run.id = run_to_undo.run_id;

  if not found then
    raise exception 'There is no run %.', coalesce(run_to_undo.run_id::text, 'null')
      using
        errcode = 'P0002',
        detail = '{"refused": true}',
        hint = 'remediation-runs lists them; in psql select runbook.runs(''{}'').';
  end if;

  if v_run.state = 'applying' then
    raise exception 'Run % is still under way.', v_run.id
      using
        errcode = 'RB410',
        detail = jsonb_build_object('run', v_run.id)::text,
        hint = runbook.waiting_hint();
  end if;

  if v_run.state <> 'undone' then
    v_undo := runbook.run_answer(v_run.id) -> 'undo';

    if not (v_undo -> 'available')::boolean then
      raise exception 'Run % cannot be undone: %', v_run.id, v_undo ->> 'reason'
        using
          errcode = 'RB408',
          detail = jsonb_build_object(
            'differences', '[]'::jsonb,
            'reason', v_undo -> 'reason'
          )::text,
          hint = format('See what it did: remediation-runs with {"id": %s}.', v_run.id);
    end if;
  end if;

  return v_run;
end;
$$;

comment on function runbook.run_to_undo(bigint) is
'A run that can be undone or has been. Raises P0002, RB410 while it is under way, RB408 when
nothing of it can be taken back.';
revoke all on function runbook.run_to_undo(bigint) from public;

-- The opposite of a step.
create function runbook.undo_step(step runbook.step)
returns runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_declared runbook.declared_step;
  v_key_columns text[];
begin
  v_declared.kind := undo_step.step.kind;
  v_declared.summary := 'Take back: ' || undo_step.step.summary;

  case undo_step.step.kind
    when 'row' then
      v_declared.relation := undo_step.step.relation::regclass;
      v_declared.key := undo_step.step.key;
      v_declared.expect := undo_step.step.after;
      v_declared.restores := undo_step.step.content -> 'columns';

      case undo_step.step.operation
        when 'insert' then
          v_declared.operation := 'delete';
        when 'delete' then
          v_declared.operation := 'insert';
          v_declared.changes := undo_step.step.before;
          -- A row that a trigger has put back is not ours to replace.
          v_declared.expect := null;
        else
          v_declared.operation := 'update';
          v_key_columns := runbook.key_columns(v_declared.relation);

          select coalesce(jsonb_object_agg(part.key, part.value), '{}')
          into v_declared.changes
          from jsonb_each(undo_step.step.before) as part (key, value)
          where not part.key = any (v_key_columns)
            or undo_step.step.after -> part.key is distinct from part.value;
      end case;
    when 'call' then
      v_declared.operation := 'request';
      v_declared.call := jsonb_build_object('service', undo_step.step.content -> 'service')
        || (undo_step.step.content -> 'undo')
        || jsonb_build_object(
          'undo', (undo_step.step.content - 'undo') - 'undo_reason' - 'service'
        );
    when 'statement' then
      v_declared.operation := undo_step.step.operation;
      v_declared.statement := runbook.opposite_statement(undo_step.step.content);
    when 'batch' then
      v_declared.operation := undo_step.step.operation;
      v_declared.batch := jsonb_build_object(
        'args', undo_step.step.content -> 'args',
        'back', not coalesce((undo_step.step.content -> 'back')::boolean, false),
        'undoes', coalesce(undo_step.step.progress, '{}') - 'error',
        'undoes_run', undo_step.step.run_id,
        'side_effects', undo_step.step.content -> 'side_effects'
      );
  end case;

  return v_declared;
end;
$$;

comment on function runbook.undo_step(runbook.step) is 'What takes a step back, as a declaration.';
revoke all on function runbook.undo_step(runbook.step) from public;

-- The opposites of all steps of a run that were done, the last first.
create function runbook.undo_steps(run runbook.run)
returns runbook.declared_step[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if undo_steps.run.state = 'undone' then
    return array[]::runbook.declared_step[];
  end if;

  return (
    select coalesce(
      array_agg(runbook.undo_step(stp) order by stp.position desc),
      array[]::runbook.declared_step[]
    )
    from runbook.step as stp
    where stp.run_id = undo_steps.run.id
      and runbook.can_be_undone(to_jsonb(stp))
  );
end;
$$;

comment on function runbook.undo_steps(runbook.run) is
'What takes a run back, as declarations; nothing for a run that has been undone.';
revoke all on function runbook.undo_steps(runbook.run) from public;

-- A run has been taken back.
create function runbook.mark_undone(run_id bigint)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  update runbook.run as run
  set state = 'undone'
  where run.id = mark_undone.run_id
    and run.state in ('succeeded', 'failed', 'abandoned');
$$;

comment on function runbook.mark_undone(bigint) is 'Moves the state of a run to undone.';
revoke all on function runbook.mark_undone(bigint) from public;

-- Plans or applies the undo of a run. It takes the role that the remediation takes.
create function runbook.undo(
  run_id bigint,
  dry_run boolean default false,
  reason text default null,
  idempotency_key text default null,
  plan_hash text default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform runbook.require_role('operator');

  if undo.run_id is null then
    perform runbook.refuse_problems('[{"path": "run_id", "message": "is required"}]');
  end if;

  return runbook.run_remediation(
    null,
    null,
    coalesce(undo.dry_run, false),
    undo.reason,
    undo.idempotency_key,
    undo.plan_hash,
    undo.run_id
  );
end;
$$;

comment on function runbook.undo(bigint, boolean, text, text, text) is
'Plans (dry_run) or applies the undo of a run, in the shape of runbook.remediate. An undo that is
refused is a run in state undo_refused with error {sqlstate: RB408, differences: [{relation, key,
column, left, now}]}; a plan raises RB408 with them. Raises P0002 for an unknown run.';
revoke all on function runbook.undo(bigint, boolean, text, text, text) from public;
grant execute on function runbook.undo(bigint, boolean, text, text, text) to runbook_viewer;
