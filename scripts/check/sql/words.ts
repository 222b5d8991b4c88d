// The words that the formatter writes in lower case. The first two lists are pg_get_keywords() of Postgres 17,
// split by whether the word can be an identifier without quotes.

/** Words that can be nothing but keywords. */
export const reservedWords: ReadonlySet<string> = wordsOf(`
  all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create
  current_catalog current_date current_role current_time current_timestamp current_user default deferrable desc
  distinct do else end except false fetch for foreign from grant group having in initially intersect into lateral
  leading limit localtime localtimestamp not null offset on only or order placing primary references returning
  select session_user some symmetric system_user table then to trailing true union unique user using variadic when
  where window with`);

const otherKeywords = wordsOf(`
  abort absent absolute access action add admin after aggregate also alter always asensitive assertion assignment
  at atomic attach attribute authorization backward before begin between bigint binary bit boolean breadth by cache
  call called cascade cascaded catalog chain char character characteristics checkpoint class close cluster coalesce
  collation columns comment comments commit committed compression concurrently conditional configuration conflict
  connection constraints content continue conversion copy cost cross csv cube current current_schema cursor cycle
  data database day deallocate dec decimal declare defaults deferred definer delete delimiter delimiters depends
  depth detach dictionary disable discard document domain double drop each empty enable encoding encrypted enum
  error escape event exclude excluding exclusive execute exists explain expression extension external extract family
  filter finalize first float following force format forward freeze full function functions generated global granted
  greatest grouping groups handler header hold hour identity if ilike immediate immutable implicit import include
  including increment indent index indexes inherit inherits inline inner inout input insensitive insert instead int
  integer interval invoker is isnull isolation join json json_array json_arrayagg json_exists json_object
  json_objectagg json_query json_scalar json_serialize json_table json_value keep key keys label language large last
  leakproof least left level like listen load local location lock locked logged mapping match matched materialized
  maxvalue merge merge_action method minute minvalue mode month move name names national natural nchar nested new
  next nfc nfd nfkc nfkd no none normalize normalized nothing notify notnull nowait nullif nulls numeric object of
  off oids old omit operator option options ordinality others out outer over overlaps overlay overriding owned owner
  parallel parameter parser partial partition passing password path plan plans policy position preceding precision
  prepare prepared preserve prior privileges procedural procedure procedures program publication quote quotes range
  read real reassign recheck recursive ref referencing refresh reindex relative release rename repeatable replace
  replica reset restart restrict return returns revoke right role rollback rollup routine routines row rows rule
  savepoint scalar schema schemas scroll search second security sequence sequences serializable server session set
  setof sets share show similar simple skip smallint snapshot source sql stable standalone start statement statistics
  stdin stdout storage stored strict string strip subscription substring support sysid system tables tablesample
  tablespace target temp template temporary text ties time timestamp transaction transform treat trigger trim truncate
  trusted type types uescape unbounded uncommitted unconditional unencrypted unknown unlisten unlogged until update
  vacuum valid validate validator value values varchar varying verbose version view views volatile whitespace within
  without work wrapper write xml xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi
  xmlroot xmlserialize xmltable year yes zone`);

const plpgsqlKeywords = wordsOf(`
  alias assert constant debug diagnostics elsif elseif errcode exception exit foreach found get hint info log loop
  notice open perform query raise rowtype slice sqlerrm sqlstate stacked warning while`);

const typeNames = wordsOf(`
  bool bpchar bytea cidr citext date daterange event_trigger float4 float8 inet int2 int4 int4range int8 int8range
  jsonb jsonpath macaddr money numrange oid record refcursor regclass regnamespace regproc regprocedure regrole
  regtype timestamptz timetz tsquery tsrange tstzrange tsvector uuid varbit void xid xid8`);

/** Whether the word is a keyword of SQL or the name of a built-in type, written in any case. */
export function isSqlWord(lower: string): boolean {
  return reservedWords.has(lower) || otherKeywords.has(lower) || typeNames.has(lower);
}

/** Whether the word means something in a PL/pgSQL body, written in any case. */
export function isPlpgsqlWord(lower: string): boolean {
  return isSqlWord(lower) || plpgsqlKeywords.has(lower);
}

function wordsOf(list: string): ReadonlySet<string> {
  return new Set(list.trim().split(/\s+/));
}
