import type { Statement } from "./source.ts";
import { child, dottedName, list, text } from "./tree.ts";

/** What a statement does to an object, in the order of the house. */
export const phases = ["create", "comment on", "revoke", "grant"] as const;

/** One of `phases`. */
export type Phase = (typeof phases)[number];

/** A statement's effect on the objects that it names. */
export interface ObjectStatement {
  readonly phase: Phase;
  /** `function a.f(int4)`, `relation a.t`, `type a.t`, `schema a`; a function named without arguments has none. */
  readonly objects: readonly string[];
}

/** Which objects a statement creates, comments on, or changes the rights of; undefined for other statements. */
export function objectsOf(statement: Statement): ObjectStatement | undefined {
  const created = createdBy(statement);
  if (created !== undefined) return { phase: "create", objects: [created] };
  if (statement.kind === "CommentStmt") {
    const object = commentedObject(statement.node);
    return object === undefined ? undefined : { phase: "comment on", objects: [object] };
  }
  if (statement.kind !== "GrantStmt" || text(statement.node, "targtype") !== "ACL_TARGET_OBJECT")
    return undefined;
  const kind = kindOf(text(statement.node, "objtype"));
  if (kind === undefined) return undefined;
  return {
    phase: child(statement.node, "is_grant") === true ? "grant" : "revoke",
    objects: list(statement.node, "objects").map((object) => `${kind} ${nameOf(object)}`),
  };
}

function createdBy({ kind, node }: Statement): string | undefined {
  switch (kind) {
    case "CreateFunctionStmt":
      return `function ${dottedName(list(node, "funcname"))}(${signature(list(node, "parameters"))})`;
    case "CreateStmt":
      return `relation ${rangeName(child(node, "relation"))}`;
    case "CreateSeqStmt":
      return `relation ${rangeName(child(node, "sequence"))}`;
    case "ViewStmt":
      return `relation ${rangeName(child(node, "view"))}`;
    case "CreateTableAsStmt":
      return `relation ${rangeName(child(node, "into", "rel"))}`;
    case "CompositeTypeStmt":
      return `type ${rangeName(child(node, "typevar"))}`;
    case "CreateEnumStmt":
    case "CreateRangeStmt":
      return `type ${dottedName(list(node, "typeName"))}`;
    case "CreateDomainStmt":
      return `type ${dottedName(list(node, "domainname"))}`;
    case "CreateSchemaStmt":
      return `schema ${text(node, "schemaname")}`;
    default:
      return undefined;
  }
}

function commentedObject(node: unknown): string | undefined {
  const objectType = text(node, "objtype");
  const object = child(node, "object");
  if (objectType === "OBJECT_COLUMN") {
    return `relation ${dottedName(list(object, "List", "items").slice(0, -1))}`;
  }
  const kind = kindOf(objectType);
  return kind === undefined ? undefined : `${kind} ${nameOf(object)}`;
}

function kindOf(objectType: string): string | undefined {
  if (/^OBJECT_(FUNCTION|PROCEDURE|ROUTINE)$/.test(objectType)) return "function";
  if (/^OBJECT_(TABLE|VIEW|MATVIEW|SEQUENCE)$/.test(objectType)) return "relation";
  if (/^OBJECT_(TYPE|DOMAIN)$/.test(objectType)) return "type";
  return objectType === "OBJECT_SCHEMA" ? "schema" : undefined;
}

function nameOf(object: unknown): string {
  if (child(object, "ObjectWithArgs") !== undefined) {
    const name = dottedName(list(object, "ObjectWithArgs", "objname"));
    if (child(object, "ObjectWithArgs", "args_unspecified") === true) return name;
    return `${name}(${list(object, "ObjectWithArgs", "objargs")
      .map((type) => typeName(child(type, "TypeName")))
      .join(",")})`;
  }
  if (child(object, "RangeVar") !== undefined) return rangeName(child(object, "RangeVar"));
  if (child(object, "TypeName") !== undefined) return dottedName(list(object, "TypeName", "names"));
  if (child(object, "String") !== undefined) return text(object, "String", "sval");
  return dottedName(list(object, "List", "items"));
}

function rangeName(range: unknown): string {
  return [text(range, "schemaname"), text(range, "relname")].filter((part) => part !== "").join(".");
}

function signature(parameters: readonly unknown[]): string {
  return parameters
    .filter((parameter) => !/_(OUT|TABLE)$/.test(text(parameter, "FunctionParameter", "mode")))
    .map((parameter) => typeName(child(parameter, "FunctionParameter", "argType")))
    .join(",");
}

function typeName(type: unknown): string {
  const name = dottedName(list(type, "names")).replace(/^pg_catalog\./, "");
  return name + "[]".repeat(list(type, "arrayBounds").length);
}
