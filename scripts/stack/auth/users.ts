import { z } from "zod";
import { audience, type Database, nilUuid } from "./auth-context.ts";

/** A JSON object, as the metadata columns hold one. */
export const metadataSchema = z.record(z.string(), z.json());
/** What the person (`raw_user_meta_data`) or the application (`raw_app_meta_data`) keeps. */
export type Metadata = z.infer<typeof metadataSchema>;

// GoTrue writes '' and stumbles over NULL in these columns; rows made by hand often have NULL, and here they are read as ''.
const text = z
  .string()
  .nullable()
  .transform((value) => value ?? "");
const instant = z.date().nullable();
const metadata = metadataSchema.nullable().transform((value) => value ?? {});

const userSchema = z.object({
  id: z.string(),
  aud: text,
  role: text,
  email: text,
  phone: text,
  encrypted_password: text,
  email_confirmed_at: instant,
  phone_confirmed_at: instant,
  confirmed_at: instant,
  invited_at: instant,
  confirmation_token: text,
  confirmation_sent_at: instant,
  recovery_token: text,
  recovery_sent_at: instant,
  email_change: text,
  email_change_token_new: text,
  email_change_token_current: text,
  email_change_confirm_status: z
    .number()
    .nullable()
    .transform((value) => value ?? 0),
  email_change_sent_at: instant,
  last_sign_in_at: instant,
  raw_app_meta_data: metadata,
  raw_user_meta_data: metadata,
  created_at: instant,
  updated_at: instant,
  banned_until: instant,
  deleted_at: instant,
  is_sso_user: z.boolean(),
  is_anonymous: z.boolean(),
  identities: z.array(metadataSchema),
  factors: z.array(metadataSchema),
});

/** A row of `auth.users`; identities and factors already have the shape of the wire. */
export type User = z.infer<typeof userSchema>;

function users(db: Database) {
  return db`
    select
      usr.id, usr.aud, usr.role, usr.email, usr.phone, usr.encrypted_password,
      usr.email_confirmed_at, usr.phone_confirmed_at, usr.confirmed_at, usr.invited_at,
      usr.confirmation_token, usr.confirmation_sent_at, usr.recovery_token, usr.recovery_sent_at,
      usr.email_change, usr.email_change_token_new, usr.email_change_token_current,
      usr.email_change_confirm_status, usr.email_change_sent_at, usr.last_sign_in_at,
      usr.raw_app_meta_data, usr.raw_user_meta_data, usr.created_at, usr.updated_at,
      usr.banned_until, usr.deleted_at, usr.is_sso_user, usr.is_anonymous,
      coalesce((
        select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
          'identity_id', idn.id, 'id', idn.provider_id, 'user_id', idn.user_id,
          'identity_data', idn.identity_data, 'provider', idn.provider,
          'last_sign_in_at', idn.last_sign_in_at, 'created_at', idn.created_at,
          'updated_at', idn.updated_at, 'email', idn.email
        )) order by idn.created_at, idn.id)
        from auth.identities as idn
        where idn.user_id = usr.id
      ), '[]') as identities,
      coalesce((
        select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
          'id', fac.id, 'created_at', fac.created_at, 'updated_at', fac.updated_at,
          'status', fac.status, 'friendly_name', nullif(fac.friendly_name, ''),
          'factor_type', fac.factor_type, 'phone', fac.phone, 'last_challenged_at', fac.last_challenged_at
        )) order by fac.created_at, fac.id)
        from auth.mfa_factors as fac
        where fac.user_id = usr.id
      ), '[]') as factors
    from auth.users as usr
    where usr.instance_id = ${nilUuid}`;
}

/** The person with this id; an id that is no UUID belongs to nobody. */
export async function findUserById(db: Database, id: string): Promise<User | undefined> {
  if (!isUuid(id)) return undefined;
  return userSchema.optional().parse((await db`${users(db)} and usr.id = ${id}`)[0]);
}

/** The person who signs in with this address. */
export async function findUserByEmail(db: Database, email: string): Promise<User | undefined> {
  // Postgres takes no NUL in a text, so nobody has such an address.
  if (email.includes("\0")) return undefined;
  const rows = await db`
    ${users(db)} and lower(usr.email) = ${email.toLowerCase()} and usr.aud = ${audience} and not usr.is_sso_user`;
  return userSchema.optional().parse(rows[0]);
}

/** The id of another person who has this address, as a user or through one of the identities. */
export async function findOwnerOfEmail(
  db: Database,
  email: string,
  exceptUserId = nilUuid,
): Promise<string | undefined> {
  const rows = await db`
    select usr.id
    from auth.users as usr
    where usr.instance_id = ${nilUuid}
      and usr.aud = ${audience}
      and usr.id <> ${exceptUserId}
      and (
        (lower(usr.email) = ${email} and not usr.is_sso_user)
        or exists (
          select 1 from auth.identities as idn
          where idn.user_id = usr.id and idn.email = ${email} and idn.provider not like 'sso:%'
        )
      )
    limit 1`;
  return z.string().optional().parse(rows[0]?.["id"]);
}

/** One page of everybody, newest first; `filter` is part of an address or of a full name. */
export async function listUsers(
  db: Database,
  page: { number: number; size: number; filter: string },
): Promise<{ users: User[]; total: number }> {
  const pattern = `%${page.filter}%`;
  const matching = db`
    usr.aud = ${audience}
    and (
      ${page.filter} = ''
      or usr.email like ${pattern}
      or usr.raw_user_meta_data ->> 'full_name' ilike ${pattern}
    )`;
  const rows = await db`
    ${users(db)} and ${matching}
    order by usr.created_at desc, usr.id
    limit ${page.size} offset ${(Math.max(page.number, 1) - 1) * page.size}`;
  const count = await db`
    select count(*)::integer as total from auth.users as usr where usr.instance_id = ${nilUuid} and ${matching}`;
  return { users: z.array(userSchema).parse([...rows]), total: z.number().parse(count[0]?.["total"]) };
}

/** Whether a ban holds at `now`; one that has ended stays in the row. */
export function isBanned(user: User, now: Date): boolean {
  return user.banned_until !== null && now < user.banned_until;
}

/** Whether a second factor is set up, which a session must then have passed to change the account. */
export function hasVerifiedFactor(user: User): boolean {
  return user.factors.some((factor) => factor["status"] === "verified");
}

/** Whether Postgres would read the text as a UUID of the usual form. */
export function isUuid(value: string): boolean {
  return z.guid().safeParse(value).success;
}
