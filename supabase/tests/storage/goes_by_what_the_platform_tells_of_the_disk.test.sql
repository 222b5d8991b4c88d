begin;

select plan(43);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.database_size, runbook.disk_usage, runbook.probe in share row exclusive mode;
delete from runbook.probe where name = 'disk';
delete from runbook.disk_usage where true;
delete from runbook.database_size where true;
delete from runbook.setting where name = 'disk_bytes';

insert into runbook.database_size (measured_at, bytes, all_bytes, wal_bytes)
values (clock_timestamp(), 4000000000, 4000000000, 1000000000);

create function pg_temp.tell(
  used numeric,
  size numeric default 8000000000,
  available numeric default null,
  measured_ago interval default '2 minutes'
)
returns text
language sql
as $$
  select runbook.record_probe(
    'disk',
    true,
    jsonb_build_object(
      'status', 200,
      'project_ref', 'abcdefghijklmnopqrst',
      'fs_size_bytes', tell.size,
      'fs_used_bytes', tell.used,
      'fs_avail_bytes', coalesce(tell.available, tell.size - tell.used),
      'measured_at', clock_timestamp() - tell.measured_ago
    )
  );
  select runbook.run_check('disk_space') ->> 'status';
$$;

create function pg_temp.fail(evidence jsonb)
returns text
language sql
as $$
  select runbook.record_probe(
    'disk', false, '{"status": null, "project_ref": "abcdefghijklmnopqrst"}' || fail.evidence
  );
  select runbook.run_check('disk_space') ->> 'status';
$$;

create function pg_temp.reason(evidence jsonb, says text)
returns boolean
language sql
as $$
  select pg_temp.fail(reason.evidence);
  select ent.content ->> 'status' = 'skipped' and ent.content ->> 'reason' ~ reason.says
  from runbook.run_check('disk_space') as ent (content);
$$;

create function pg_temp.entry(path text[])
returns text
language sql
as $$
  select runbook.run_check('disk_space') #>> entry.path;
$$;

-- Nothing, a near miss, the fault, the cure.
select is(
  pg_temp.fail('{"error": "no_management_token"}'),
  'not_applicable',
  'without a token the check does not apply'
);
select is(pg_temp.tell(5600000000), 'ok', 'a disk with room is ok');
select is(pg_temp.entry('{findings,0,severity}'), 'info', 'how full it is is told all the same');
select matches(
  pg_temp.entry('{findings,0,summary}'),
  'UTC 70\.0 % .*databases 3815 MB, WAL 954 MB, other 572 MB',
  'with what the databases have of it'
);
select matches(
  pg_temp.entry('{findings,0,summary}'),
  to_char((clock_timestamp() - interval '2 minutes') at time zone 'UTC', 'HH24:MI'),
  'and when that was'
);
select is(pg_temp.tell(6380000000), 'ok', '79.8 % is a near miss');
select is(pg_temp.tell(6480000000), 'warning', '81 % is a warning');
select is(pg_temp.tell(7280000000), 'critical', '91 % is critical');
select matches(
  pg_temp.entry('{findings,0,summary}'),
  'At 95 % the platform makes it read-only: 305 MB from now',
  'it says how far away that is'
);
select is(pg_temp.tell(7640000000), 'critical', '95.5 % is critical');
select matches(pg_temp.entry('{findings,0,summary}'), 'is past the 95 %', 'and past it');
select is(
  pg_temp.tell(7000000000, available => 0),
  'critical',
  'no room is critical, whatever the file system keeps for itself'
);
select is(pg_temp.tell(5600000000), 'ok', 'with room again it is ok');

-- The longest sentence, which must not be cut.
select ok(
  (
    select max(char_length(fnd.content ->> 'summary')) < 300
    from jsonb_array_elements(
      case pg_temp.tell(9999000000000000, 10999000000000000)
        when 'critical' then runbook.run_check('disk_space') -> 'findings'
      end
    ) as fnd (content)
  ),
  'the sentence is not cut'
);

-- Sizes that cannot be.
select is(pg_temp.tell(0), 'skipped', 'nothing used is nonsense');
select is(pg_temp.tell(-5), 'skipped', 'less than nothing as well');
select is(pg_temp.tell(5, size => 0), 'skipped', 'as is a disk of no size');
select is(pg_temp.tell(9000000000, available => 1), 'skipped', 'more used than there is');
select is(pg_temp.tell(5600000000, available => 5000000000), 'skipped', 'used and free');
select matches(pg_temp.entry('{reason}'), 'told sizes that cannot be', 'which is said');
select runbook.record_probe('disk', true, '{"fs_size_bytes": 8000000000}');
select is(pg_temp.entry('{status}'), 'skipped', 'sizes that are missing tell nothing');
select is(
  pg_temp.tell(5600000000, measured_ago => '27 hours'),
  'skipped',
  'a figure of the day before yesterday tells nothing'
);

-- Another project's: this database is larger than what is used there.
select is(pg_temp.tell(1000000), 'skipped', 'a disk with less on it than this database is another');
select matches(pg_temp.entry('{reason}'), 'RUNBOOK_PROJECT_REF', 'and where to look is said');

-- Looks that fail.
select is(
  pg_temp.reason(tried.evidence::jsonb, tried.says),
  true,
  'skipped, and said why: ' || tried.evidence
)
from (
  values
    ('{"error": "timeout"}', 'did not answer in time'),
    ('{"error": "unreachable"}', 'could not be reached'),
    ('{"status": 200, "error": "unreadable"}', 'not the sizes of a disk'),
    ('{"status": 401}', 'RUNBOOK_MANAGEMENT_TOKEN is wrong'),
    ('{"status": 403}', 'lacks the permission infra_disk_config_read'),
    ('{"status": 404}', 'look at RUNBOOK_PROJECT_REF'),
    ('{"status": 429, "retry_after_s": 90}', 'asked again in 1 min 30 s'),
    ('{"status": 429}', 'asked again later'),
    ('{"status": 503}', 'answered 503; the platform''s status page'),
    ('{"status": 302}', 'answered 302')
) as tried (evidence, says);
select is(pg_temp.entry('{findings,0}'), null, 'and nothing is claimed');

-- The figure before a failure counts for an hour; the collector keeps it.
select pg_temp.tell(7280000000);
select is(runbook.collect_disk('30 days'), 1::bigint, 'what was told is kept');
select is(pg_temp.fail('{"status": 503}'), 'critical', 'a failure hides no full disk');
select matches(pg_temp.entry('{findings,0,evidence,last_look}'), '503', 'and is told beside it');
select is(runbook.collect_disk('30 days'), 0::bigint, 'of a failure nothing is kept');
update runbook.disk_usage set seen_at = clock_timestamp() - interval '61 minutes' where true;
select is(pg_temp.entry('{status}'), 'skipped', 'after an hour nobody knows');

-- Nobody looks any more.
update runbook.probe
set seen_at = clock_timestamp() - interval '61 minutes', ok = true
where name = 'disk';
select matches(pg_temp.entry('{reason}'), 'last look was at', 'a stale probe is skipped');

-- An admin's word counts where the platform has none.
select runbook.set_setting('disk_bytes', '8000000000');
select is(pg_temp.fail('{"status": 403}'), 'ok', 'the setting counts where nothing is told');
select matches(pg_temp.entry('{findings,0,evidence,last_look}'), '403', 'which is told');

select * from finish();
rollback;
