// Statements that are put together of texts: each known, and looked at. A new one fails here until somebody has.
import assert from "node:assert/strict";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const PROJECT = fileURLToPath(import.meta.resolve("../../"));

async function files(folder: string, kind: RegExp): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const walk = async (at: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(at)) {
      const path = join(at, name);
      if (isDirectory) await walk(path);
      else if (kind.test(name)) found.set(relative(PROJECT, path), await Deno.readTextFile(path));
    }
  };
  await walk(join(PROJECT, folder));
  return found;
}

/**
 * How many `execute` a file of SQL has, and where their names come from. Data of the market is in none of them but as a
 * parameter (`using`).
 */
const DYNAMIC: Readonly<Record<string, readonly [count: number, why: string]>> = {
  "sql/bootstrap/01_schema.sql": [1, "names of our two roles, %I"],
  "sql/bootstrap/03_apply_migration.sql": [1, "text of a migration, from the program"],
  "sql/bootstrap/05_make_object.sql": [6, "text of our own files; identities from the catalog"],
  "sql/bootstrap/07_apply_object.sql": [1, "identity from the catalog"],
  "sql/bootstrap/08_apply_objects.sql": [1, "identity from the catalog"],
  "sql/bootstrap/10_replace_table.sql": [15, "regclass, %I, definitions from the catalog"],
  "sql/functions/drop_temporary_tables.sql": [1, "name from the catalog, %I"],
  "sql/functions/make_room.sql": [2, "names of partitioned_tables, %I; times, %L"],
  "sql/functions/parse_pages.sql": [1, "the parser that a page names, %I after parse_"],
  "sql/functions/preview_load.sql": [3, "the candidate of a person; oids and names, %I"],
  "sql/functions/run_rule.sql": [1, "function looked up in the catalog"],
  "sql/functions/run_step.sql": [1, "function looked up in the catalog"],
  "sql/plain/functions/drop_older.sql": [1, "regclass of a view"],
  "sql/plain/functions/store_period.sql": [9, "names made of constants, %I"],
  "sql/timescaledb/functions/apply_policies.sql": [4, "the extension's schema; relations, %L"],
  "sql/timescaledb/functions/drop_older.sql": [1, "the extension's schema, from the catalog"],
  "sql/timescaledb/functions/holds_history.sql": [1, "names of aggregate_sources, %I"],
  "sql/timescaledb/views/merchant_daily.sql": [1, "names of aggregate_sources, %I; its numbers"],
  "sql/timescaledb/views/merchant_hours.sql": [1, "names of aggregate_sources, %I; its numbers"],
};

Deno.test("execute in SQL: only the known ones; nothing that reads files, runs programs or calls other servers", async () => {
  const found: Record<string, number> = {};
  for (const [path, text] of await files("sql", /\.sql$/)) {
    if (/\/migrations\/|^sql\/schema\.sql$/.test(path)) continue; // frozen; and what all of these make
    const code = text.replace(/--.*$/gm, "");
    const count = [...code.matchAll(/^\s*execute\s+(?!function\b)/gim)].length;
    if (count > 0) found[path] = count;
    assert.doesNotMatch(
      code,
      /\b(dblink|lo_import|lo_export|pg_read_file|pg_read_binary_file|pg_ls_dir|query_to_xml|table_to_xml)\b|^\s*copy\s/im,
      path,
    );
    // What comes as a parameter is quoted, or a name of the catalog.
    for (const [statement = ""] of code.matchAll(/^\s*execute\s+(?!format\()[^;]*\|\|[^;]*;/gim)) {
      assert.match(
        statement,
        /execute 'drop (table )?' \|\| (v_partition\.partition_name|p_known|v_known\.identity|v_object\.identity|v_dependent\.identity);/,
        path,
      );
    }
    if (/security\s+definer/i.test(code)) {
      assert.match(code, /security definer\s+set search_path = \w+, pg_temp$/m, path);
    }
  }
  const known = Object.fromEntries(Object.entries(DYNAMIC).map(([path, [count]]) => [path, count]));
  assert.deepEqual(found, known);
});

/** Texts with SQL in src/ that something is put into: none of it comes from outside but by `query`. */
const INTERPOLATED: Readonly<Record<string, readonly string[]>> = {
  "src/cli/quarantine.ts": ["call", "call", "call"],
  "src/database/migration_plan.ts": ["table"],
  "src/database/read_only.ts": ["single"],
  "src/database/tier.ts": ["SERVER_TIER"],
  "src/extract/batch_store.ts": ['calls.join(", ")'],
  "src/import/import_store.ts": ['calls.join(", ")'],
  "src/serve/page_reader.ts": ["AS_READER", "call"],
};

Deno.test("SQL in src/: parameters; what is put into a text is one of ours", async () => {
  const found: Record<string, string[]> = {};
  for (const [path, text] of await files("src", /\.ts$/)) {
    if (/^src\/(simulator|embedded)\//.test(path)) continue;
    const literals = text.match(/`[^`]*`/g) ?? [];
    const sql = literals.filter((one) =>
      /^`\s*(\$\{[A-Z_]+\}\s*)?(with|select|insert|update|delete|call|create|drop|alter|set)\b/i
        .test(one) &&
      one.includes("${")
    );
    if (sql.length > 0) {
      found[path] = sql.flatMap((one) =>
        [...one.matchAll(/\$\{([^}]*)\}/g)].map(([, what = ""]) => what)
      );
    }
    if (/\.unsafe\(/.test(text)) {
      assert.ok(["src/database/connection.ts", "src/database/read_only.ts"].includes(path), path);
    }
  }
  assert.deepEqual(found, INTERPOLATED);
});
