import assert from "node:assert/strict";
import { BOOTSTRAP, MIGRATIONS, OBJECTS } from "../../src/database/sql_files.ts";
import { VERSION } from "../../src/version.ts";

const SQL = new URL("../../sql/", import.meta.url);

function filesIn(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, SQL))]
    .filter(({ isFile, name }) => isFile && name.endsWith(".sql"))
    .map(({ name }) => folder + name)
    .sort();
}

const names = (files: readonly { name: string }[]) => files.map(({ name }) => name);

Deno.test("every migration is carried, in the order of its number, without a gap", () => {
  assert.deepEqual(names(MIGRATIONS), filesIn("migrations/"));
  MIGRATIONS.forEach(({ name }, i) => {
    assert.match(
      name,
      new RegExp(`^migrations/${String(i + 1).padStart(4, "0")}_[a-z0-9_]+\\.sql$`),
    );
  });
});

Deno.test("every function and view is carried once, functions first", () => {
  const [functions, views] = [filesIn("functions/"), filesIn("views/")];
  const carried = names(OBJECTS);
  assert.deepEqual(carried.toSorted(), [...functions, ...views].sort());
  assert.deepEqual(carried.slice(0, functions.length).toSorted(), functions);
});

Deno.test("each name stands with the text of its own file", () => {
  const files = [...BOOTSTRAP, ...MIGRATIONS, ...OBJECTS];
  for (const { name, body } of files) {
    assert.equal(body, Deno.readTextFileSync(new URL(name, SQL)), name);
    assert.notEqual(body.trim(), "", name);
  }
});

/** For people only: test/sql/schema_dump_test.ts keeps it true. */
const NOT_CARRIED = ["schema.sql"];

Deno.test("no file below sql/ is forgotten, in whatever folder", () => {
  const below = (folder: string): string[] =>
    [...Deno.readDirSync(new URL(folder, SQL))]
      .flatMap(({ name, isDirectory }) => isDirectory ? below(`${folder}${name}/`) : folder + name)
      .filter((path) => path.endsWith(".sql"));
  assert.deepEqual(
    below("./").map((path) => path.slice(2)).sort(),
    [...NOT_CARRIED, ...names([...BOOTSTRAP, ...MIGRATIONS, ...OBJECTS])].sort(),
  );
});

Deno.test("the version is that of deno.json", () => {
  const manifest = JSON.parse(Deno.readTextFileSync(new URL("../../deno.json", import.meta.url)));
  assert.equal(VERSION, manifest.version);
  assert.match(VERSION, /^\d+\.\d+\.\d+$/);
});
