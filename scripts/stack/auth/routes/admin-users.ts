import { z } from "zod";
import { serviceRole, writeAuditLog } from "../audit-log.ts";
import type { AuthContext, AuthRequest, Database } from "../auth-context.ts";
import { AuthError, invalid, orUnexpected } from "../auth-error.ts";
import { requireAdmin } from "../bearer.ts";
import { readOptionalBody } from "../request-body.ts";
import { softDeleteUser } from "../soft-deletion.ts";
import { deleteUser } from "../user-changes.ts";
import { listedUserJson, userJson } from "../user-json.ts";
import { findUserById, isUuid, listUsers, type User } from "../users.ts";

/** `GET /admin/users?page&per_page&filter`. */
export async function adminListUsers(context: AuthContext, { request, url }: AuthRequest): Promise<Response> {
  await requireAdmin(context, request);
  const number = pageParameter(url, "page", 1);
  const size = pageParameter(url, "per_page", 50);
  if (size === 0) throw invalid("Bad Pagination Parameters: per_page must be greater than 0");
  const filter = url.searchParams.get("filter") ?? "";
  const { users, total } = await orUnexpected("Database error finding users", () =>
    listUsers(context.sql, { number, size, filter }),
  );
  const headers = { "x-total-count": String(total), link: pageLinks(url, number, Math.ceil(total / size)) };
  return Response.json({ users: users.map(listedUserJson), aud: "authenticated" }, { headers });
}

function pageParameter(url: URL, name: string, otherwise: number): number {
  const value = url.searchParams.get(name) || String(otherwise);
  if (!/^\d{1,15}$/.test(value)) {
    throw invalid(
      `Bad Pagination Parameters: strconv.ParseUint: parsing ${JSON.stringify(value)}: invalid syntax`,
    );
  }
  return Number(value);
}

function pageLinks(url: URL, page: number, pages: number): string {
  const link = (number: number, relation: string) => {
    const query = new URLSearchParams(url.searchParams);
    query.set("page", String(number));
    query.sort();
    return `<${url.pathname}?${query.toString()}>; rel="${relation}"`;
  };
  return [...(pages > page ? [link(page + 1, "next")] : []), link(pages, "last")].join(", ");
}

/** `GET /admin/users/{user_id}`. */
export async function adminGetUser(context: AuthContext, request: AuthRequest): Promise<Response> {
  return Response.json(userJson(await requireNamedUser(context, request)));
}

/** `GET /admin/users/{user_id}/factors`. */
export async function adminListFactors(context: AuthContext, request: AuthRequest): Promise<Response> {
  const user = await requireNamedUser(context, request);
  return Response.json(user.factors);
}

const deleteBody = z.object({ should_soft_delete: z.boolean().nullish() });

/** `DELETE /admin/users/{user_id}`: removes the row, or makes it unreadable with `should_soft_delete`. */
export async function adminDeleteUser(context: AuthContext, request: AuthRequest): Promise<Response> {
  const user = await requireNamedUser(context, request);
  const body = await readOptionalBody(request.request, deleteBody);
  await context.sql.begin(async (tx) => {
    const now = context.now();
    await writeAuditLog(tx, { actor: serviceRole, action: "user_deleted", traits: traitsOf(user) }, now);
    if (body.should_soft_delete !== true) {
      return orUnexpected("Database error deleting user", () => deleteUser(tx, user.id));
    }
    if (user.deleted_at !== null) return;
    await orUnexpected("Error soft deleting user", () => softDeleteUser(tx, user, now));
  });
  return Response.json({});
}

/** The person in the path, for a caller with the secret key: 404 when there is none. */
export async function requireNamedUser(
  context: AuthContext,
  { request, params }: AuthRequest,
): Promise<User> {
  await requireAdmin(context, request);
  const id = params["user_id"] ?? "";
  if (!isUuid(id)) throw new AuthError(404, "validation_failed", "user_id must be an UUID");
  return requireUserRow(context.sql, id);
}

/** The row, in a pool or in a transaction: 404 when there is none. */
export async function requireUserRow(db: Database, id: string): Promise<User> {
  const user = await orUnexpected("Database error loading user", () => findUserById(db, id));
  if (user === undefined) throw new AuthError(404, "user_not_found", "User not found");
  return user;
}

/** How an entry in the log names the person that an admin dealt with. */
export function traitsOf(user: User): Record<string, string> {
  return { user_id: user.id, user_email: user.email, user_phone: user.phone };
}
