begin;

select plan(1);

-- The extension is looked for here: the server of the stack need not have it.
create function pg_temp.complaints()
returns setof text
language plpgsql
as $$
begin
  if not exists (
    select from pg_catalog.pg_extension as ext where ext.extname = 'plpgsql_check'
  ) then
    return;
  end if;

  return query execute '
    select fun.oid::regprocedure || '': '' || com.message
    from pg_catalog.pg_proc as fun
    inner join pg_catalog.pg_language as lan on lan.oid = fun.prolang and lan.lanname = ''plpgsql''
    cross join lateral plpgsql_check_function_tb(
      fun.oid,
      extra_warnings => true,
      security_warnings => true,
      compatibility_warnings => true
    ) as com
    where fun.pronamespace = ''runbook''::regnamespace
      and fun.prorettype <> ''trigger''::regtype';
end;
$$;

select is_empty('select pg_temp.complaints()', 'plpgsql_check finds nothing, where there is one');

select * from finish();
rollback;
