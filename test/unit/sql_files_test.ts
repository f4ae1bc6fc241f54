import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { BOOTSTRAP, MIGRATIONS, OBJECTS, type SqlFile } from "../../src/database/sql_files.ts";
import { filesOf } from "../../src/database/tier.ts";
import { VERSION } from "../../src/version.ts";

const SQL = new URL("../../sql/", import.meta.url);

function filesIn(folder: string): string[] {
  const url = new URL(folder, SQL);
  if (!existsSync(url)) return [];
  return [...Deno.readDirSync(url)]
    .filter(({ isFile, name }) => isFile && name.endsWith(".sql"))
    .map(({ name }) => folder + name)
    .sort();
}

const names = (files: readonly { name: string }[]) => files.map(({ name }) => name);

const TIERS = ["plain", "timescaledb"] as const;

/** Where a file stands below sql/: migrations bear the whole path, functions and views of one tier the part they share. */
const pathOf = ({ name, tier }: SqlFile) =>
  tier === undefined || name.startsWith(`${tier}/`) ? name : `${tier}/${name}`;

const isOf = (tier: SqlFile["tier"]) => (file: SqlFile) => file.tier === tier;

for (const tier of [undefined, "timescaledb"] as const) {
  Deno.test(`every migration is carried, in the order of its number, without a gap: ${tier ?? "all tiers"}`, () => {
    const folder = tier === undefined ? "migrations/" : `${tier}/migrations/`;
    const carried = names(MIGRATIONS.filter(isOf(tier)));
    assert.deepEqual(carried, filesIn(folder));
    carried.forEach((name, i) => {
      const number = String(i + 1).padStart(4, "0");
      assert.match(name, new RegExp(`^${folder}${number}_[a-z0-9_]+\\.sql$`));
    });
  });
}

Deno.test("migrations of one tier come after those of all", () => {
  const tiers = MIGRATIONS.map(({ tier }) => tier !== undefined);
  assert.deepEqual(tiers, tiers.toSorted());
});

for (const tier of TIERS) {
  Deno.test(`every function and view is carried once, functions first: ${tier}`, () => {
    const folders = (kind: string) => [...filesIn(`${kind}/`), ...filesIn(`${tier}/${kind}/`)];
    const [functions, views] = [folders("functions"), folders("views")];
    const carried = filesOf(OBJECTS, tier);
    assert.deepEqual(carried.map(pathOf).sort(), [...functions, ...views].sort());
    assert.deepEqual(carried.slice(0, functions.length).map(pathOf).sort(), functions.sort());
    assert.equal(
      new Set(names(carried)).size,
      carried.length,
      "no file of a tier has the name of a common one",
    );
  });
}

Deno.test("each name stands with the text of its own file", () => {
  for (const file of [...BOOTSTRAP, ...MIGRATIONS, ...OBJECTS]) {
    assert.equal(file.body, Deno.readTextFileSync(new URL(pathOf(file), SQL)), file.name);
    assert.notEqual(file.body.trim(), "", file.name);
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
    [...NOT_CARRIED, ...[...BOOTSTRAP, ...MIGRATIONS, ...OBJECTS].map(pathOf)].sort(),
  );
});

Deno.test("the version is that of deno.json", () => {
  const manifest = JSON.parse(Deno.readTextFileSync(new URL("../../deno.json", import.meta.url)));
  assert.equal(VERSION, manifest.version);
  assert.match(VERSION, /^\d+\.\d+\.\d+$/);
});
