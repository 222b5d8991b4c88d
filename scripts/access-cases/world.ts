import type { ColumnType, Value } from "./column-types.ts";
import type { Json } from "./quote.ts";

/** A column of a table of the world. */
export interface Column {
  /** Unquoted. */
  readonly name: string;
  readonly type: ColumnType;
  /** Whether a command may give it a value; the key has a part of its own. */
  readonly isGiven: boolean;
}

/** The table, or the view, that a question is about. */
export interface Subject {
  /** Unquoted. */
  readonly schema: string;
  readonly name: string;
  readonly kind: "table" | "partitioned" | "view";
  readonly key: {
    readonly name: string;
    /** The other columns of a key of several, each with a default; the first alone is unique too. */
    readonly further: readonly string[];
    /** Of the rows that are there. */
    readonly values: readonly Value[];
    /** Of rows that may be inserted; `undefined` is a key that the database makes. */
    readonly free: readonly (Value | undefined)[];
  };
  readonly columns: readonly Column[];
}

/** What is asked of the explainer and of the database alike. */
export interface Question {
  readonly command: "select" | "insert" | "update" | "delete";
  /** Either a person of the demo or a role. */
  readonly who: { readonly user: string } | { readonly role: string };
  readonly claims: { readonly [claim: string]: Json };
  readonly match: { readonly [column: string]: Json } | undefined;
  readonly row: { readonly [column: string]: Json } | undefined;
}

/** A little database that is made in a transaction, asked, and rolled back. */
export interface World {
  /** Makes it again, with `makeWorld`. */
  readonly seed: number;
  readonly statements: readonly string[];
  readonly subject: Subject;
  readonly questions: readonly Question[];
}

/** A question in its world. */
export interface Case {
  readonly world: World;
  readonly question: Question;
}
