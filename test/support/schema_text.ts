import type { Database } from "../../src/database/connection.ts";

/** Tables whose rows are part of a release: what a DBA finds after migrate. */
const SHIPPED_ROWS = ["quality_rules", "settings", "pipeline_steps"];

const OURS = "'p2p'::regnamespace";

/** Lines that together say everything about schema p2p. */
const LINES: readonly string[] = [
  `select 'schema p2p ' || array_to_string(nspacl, ' ') from pg_namespace where oid = ${OURS}`,
  `select format('%s %s persistence=%s acl=%s options=%s', case c.relkind when 'v' then 'view' when 'i' then 'index' when 'S' then 'sequence' else 'table' end,
     c.oid::regclass, c.relpersistence, array_to_string(c.relacl, ' '), c.reloptions)
   from pg_class c where c.relnamespace = ${OURS}`,
  `select format('column %s.%s no %s %s %s default=%s identity=%s generated=%s compression=%s acl=%s', c.oid::regclass, a.attname,
     row_number() over (partition by c.oid order by a.attnum), format_type(a.atttypid, a.atttypmod),
     case when a.attnotnull then 'not null' end, pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated,
     a.attcompression, array_to_string(a.attacl, ' '))
   from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
   left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
   where c.relnamespace = ${OURS} and c.relkind <> 'i'`,
  `select format('constraint %s %s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
   from pg_constraint k where k.connamespace = ${OURS}`,
  `select pg_get_indexdef(i.indexrelid) from pg_index i join pg_class c on c.oid = i.indexrelid where c.relnamespace = ${OURS}`,
  `select pg_get_functiondef(p.oid) || ' acl=' || coalesce(array_to_string(p.proacl, ' '), '')
   from pg_proc p where p.pronamespace = ${OURS} and p.prokind in ('f', 'p')`,
  `select format('view %s as %s', c.oid::regclass, pg_get_viewdef(c.oid))
   from pg_class c where c.relnamespace = ${OURS} and c.relkind in ('v', 'm')`,
  `select format('type %s %s acl=%s', t.oid::regtype, t.typtype, array_to_string(t.typacl, ' '))
   from pg_type t where t.typnamespace = ${OURS} and t.typelem = 0`,
  `select pg_get_triggerdef(t.oid) from pg_trigger t join pg_class c on c.oid = t.tgrelid
   where c.relnamespace = ${OURS} and not t.tgisinternal`,
  // Only of what is ours: members of extensions and the like have other classes.
  `select format('comment on %s: %s', pg_describe_object(d.classoid, d.objoid, d.objsubid), d.description)
   from pg_description d
   where pg_describe_object(d.classoid, d.objoid, d.objsubid) ~ '\\mp2p\\M'`,
  "select format('migration %s %s', name, sha256) from p2p.schema_migrations",
  "select format('object %s %s', name, sha256) from p2p.schema_objects",
];

/** The schema as text: the same text for the same schema, however it came about. */
export async function schemaText(database: Database): Promise<string> {
  const rows = (
    await database.run(
      `select relname from pg_class where relnamespace = ${OURS} and relname = any ($1::text::text[])`,
      [`{${SHIPPED_ROWS.join(",")}}`],
      60,
    )
  ).map(({ relname }) => `select 'row of ${relname} ' || to_jsonb(t)::text from p2p.${relname} t`);
  const lines: string[] = [];
  for (const statement of [...LINES, ...rows]) {
    const found = await database.run(`select line from (${statement}) as found (line)`, [], 60);
    lines.push(...found.map(({ line }) => String(line)).sort());
  }
  return lines.join("\n") + "\n";
}
