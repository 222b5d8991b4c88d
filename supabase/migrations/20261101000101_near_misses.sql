-- Near misses: the accounts that somebody may mean who mistyped the address.
--
-- The addresses are generated from the typed one and each is looked up through an index; accounts
-- are never searched. So the domain may be mistyped, which it mostly is, and the name before the @
-- only in ways that can be listed.

create table runbook.mail_domain (
  domain text not null,
  constraint mail_domain_pkey primary key (domain),
  constraint domain_is_in_lower_case check (domain = lower(domain))
);

comment on table runbook.mail_domain is
'Domains of well-known mailboxes, in which typing errors are looked for; a team may add its own.';

revoke all on table runbook.mail_domain from public;

insert into runbook.mail_domain (domain)
select listed.domain
from unnest(
  array[
    'gmail.com', 'googlemail.com', 'outlook.com', 'outlook.be', 'outlook.de', 'outlook.fr',
    'outlook.nl', 'hotmail.com', 'hotmail.be', 'hotmail.co.uk', 'hotmail.de', 'hotmail.es',
    'hotmail.fr', 'hotmail.it', 'hotmail.nl', 'live.com', 'live.be', 'live.co.uk', 'live.fr',
    'live.nl', 'msn.com', 'yahoo.com', 'yahoo.co.uk', 'yahoo.de', 'yahoo.es', 'yahoo.fr',
    'yahoo.it', 'ymail.com', 'icloud.com', 'me.com', 'mac.com', 'proton.me', 'protonmail.com',
    'pm.me', 'aol.com', 'gmx.com', 'gmx.de', 'gmx.net', 'web.de', 't-online.de', 'freenet.de',
    'mail.com', 'mail.ru', 'yandex.com', 'yandex.ru', 'zoho.com', 'fastmail.com', 'tutanota.com',
    'ziggo.nl', 'kpnmail.nl', 'kpnplanet.nl', 'planet.nl', 'home.nl', 'xs4all.nl', 'hetnet.nl',
    'casema.nl', 'upcmail.nl', 'quicknet.nl', 'chello.nl', 'telfort.nl', 'tele2.nl', 'zonnet.nl',
    'online.nl', 'solcon.nl', 'telenet.be', 'skynet.be', 'proximus.be', 'scarlet.be',
    'orange.fr', 'wanadoo.fr', 'free.fr', 'laposte.net', 'sfr.fr', 'libero.it', 'comcast.net',
    'verizon.net', 'att.net', 'btinternet.com', 'sky.com', 'qq.com', '163.com'
  ]
) as listed (domain);

-- A word, and the word without each one of its letters. Two words that have one of these in common
-- differ by at most two letters: one wrong, one missing, one too many, or two that changed places.
create function runbook.shortened(word text)
returns setof text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select shortened.word
  union
  select left(shortened.word, pos - 1) || substr(shortened.word, pos + 1)
  from generate_series(1, char_length(shortened.word)) as pos;
$$;

comment on function runbook.shortened(text) is 'A word, and the word without each of its letters.';
revoke all on function runbook.shortened(text) from public;

-- Domains that somebody may have meant: well-known ones, and those in the sample of addresses that
-- the planner's statistics of auth.users keep, since no index lists the domains of the accounts.
--
-- Cost: about a hundred short words are compared; no table of Auth is read.
-- Misses: a domain of few accounts that is not in the sample; all of them before the first ANALYZE.
create function runbook.similar_domains(domain text)
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return array(
    with sampled as (
      select bounds.email
      from pg_catalog.pg_stats as sta
      cross join unnest(
        coalesce(sta.histogram_bounds::text::text[], '{}')
        || coalesce(sta.most_common_vals::text::text[], '{}')
      ) as bounds (email)
      where sta.schemaname = 'auth'
        and sta.tablename = 'users'
        and sta.attname = 'email'
    ),
    known as (
      select mdo.domain
      from runbook.mail_domain as mdo
      union
      select lower(substring(smp.email from '@([^@]+)$'))
      from sampled as smp
    ),
    typed as (
      select spelling.word
      from runbook.shortened(similar_domains.domain) as spelling (word)
    )
    select knw.domain
    from known as knw
    where knw.domain <> similar_domains.domain
      and (
        split_part(knw.domain, '.', 1) = split_part(similar_domains.domain, '.', 1)
        or (
          abs(char_length(knw.domain) - char_length(similar_domains.domain)) <= 2
          and exists (
            select
            from runbook.shortened(knw.domain) as spelling (word)
            inner join typed as typ on typ.word = spelling.word
          )
        )
      )
    order by knw.domain
    limit 20
  );
end;
$$;

comment on function runbook.similar_domains(text) is
'Domains that differ from the given one by two letters at most, or in the ending only.';
revoke all on function runbook.similar_domains(text) from public;

-- Addresses in which the name before the @ is written differently and may be the same person's: as
-- typed, without a tag; at Gmail, where dots do not count, without dots and with one.
create function runbook.similar_names(name text, domain text)
returns setof text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  with typed as (
    select
      split_part(similar_names.name, '+', 1) as base,
      replace(split_part(similar_names.name, '+', 1), '.', '') as plain
  )
  select similar_names.name || '@' || similar_names.domain
  union
  select typ.base || '@' || similar_names.domain
  from typed as typ
  union
  select typ.plain || '@' || similar_names.domain
  from typed as typ
  where similar_names.domain in ('gmail.com', 'googlemail.com')
  union
  select left(typ.plain, pos) || '.' || substr(typ.plain, pos + 1) || '@' || similar_names.domain
  from typed as typ
  -- Gmail's names have 30 letters at most.
  cross join generate_series(1, least(char_length(typ.plain), 31) - 1) as pos
  where similar_names.domain in ('gmail.com', 'googlemail.com');
$$;

comment on function runbook.similar_names(text, text) is
'Addresses at a domain that may belong to the person with this name before the @.';
revoke all on function runbook.similar_names(text, text) from public;

-- The accounts whose address is a near miss of a typed one, or that have the typed one with another
-- provider; five at most, as [{email, user_id}].
--
-- Addresses with a tag are found through the identities, whose index knows beginnings in every
-- collation; that of auth.users does not.
-- Cost: a few hundred probes of auth.users_instance_id_email_idx at most, and a probe and a short
-- range of auth.identities_email_idx.
-- Misses: what the catalog lists as a blind spot; an address with a tag of an account without an
-- identity.
create function runbook.near_misses(email text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  -- Blanks and signs that cannot be seen come along when an address is copied.
  v_typed constant text := regexp_replace(
    lower(near_misses.email),
    '[\s\u00a0\u200b-\u200f\u202a-\u202e\u2060\ufeff]',
    '',
    'g'
  );
  v_domain constant text := substring(v_typed from '@([^@]+)$');
  v_name constant text := left(v_typed, -char_length('@' || v_domain));
  v_base constant text := split_part(v_name, '+', 1);
  v_domains text[];
  v_candidates text[];
  v_found jsonb;
begin
  if coalesce(v_name, '') = '' then
    return '[]';
  end if;

  v_domains := v_domain || runbook.similar_domains(v_domain);
  v_candidates := array(
    select candidate.email
    from unnest(v_domains) as dom (domain)
    cross join runbook.similar_names(v_name, dom.domain) as candidate (email)
    where candidate.email <> near_misses.email
    limit 300
  );

  select coalesce(jsonb_agg(to_jsonb(near) order by near.email), '[]')
  into v_found
  from (
    select lower(usr.email) as email, usr.id as user_id
    from auth.users as usr
    where usr.instance_id = '00000000-0000-0000-0000-000000000000'
      and lower(usr.email::text) = any (v_candidates)
      and not usr.is_sso_user
      and usr.deleted_at is null
    union
    select lower(usr.email), usr.id
    from auth.identities as idn
    inner join auth.users as usr on usr.id = idn.user_id
    where idn.email = v_typed
      and lower(usr.email) <> near_misses.email
      and not usr.is_sso_user
      and usr.deleted_at is null
    union
    select lower(usr.email), usr.id
    from (
      select idn.user_id, idn.email
      from auth.identities as idn
      where idn.email operator(pg_catalog.~>=~) (v_base || '+')
        -- The comma is the sign behind the plus.
        and idn.email operator(pg_catalog.~<~) (v_base || ',')
      limit 500
    ) as tagged
    inner join auth.users as usr on usr.id = tagged.user_id
    where v_base <> ''
      and split_part(tagged.email, '@', 2) = any (v_domains)
      and lower(usr.email) = tagged.email
      and lower(usr.email) <> near_misses.email
      and not usr.is_sso_user
      and usr.deleted_at is null
    limit 5
  ) as near;

  return v_found;
end;
$$;

comment on function runbook.near_misses(text) is
'Accounts that somebody may mean who mistyped the address: an array of {email, user_id}.';
revoke all on function runbook.near_misses(text) from public;
