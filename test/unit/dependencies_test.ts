// What others wrote: pinned, with a checksum, without scripts of theirs, and each package reviewed by name.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import manifest from "../../deno.json" with { type: "json" };

const file = (path: string): string =>
  Deno.readTextFileSync(fileURLToPath(import.meta.resolve(`../../${path}`)));

interface Lock {
  readonly npm: Readonly<Record<string, { readonly integrity: string; readonly scripts?: true }>>;
  readonly jsr?: unknown;
  readonly remote?: unknown;
}

const lock = JSON.parse(file("deno.lock")) as Lock;
const EXACT = /^npm:(@[\w-]+\/)?[\w-]+@\d+\.\d+\.\d+(-[\w.]+)?$/;

Deno.test("every dependency is of one version, and has its checksum", () => {
  for (const specifier of Object.values(manifest.imports)) assert.match(specifier, EXACT);
  for (const [name, { integrity }] of Object.entries(lock.npm)) {
    assert.match(integrity, /^sha512-[\w+/]{86}==$/, name);
  }
  assert.deepEqual([lock.jsr, lock.remote], [undefined, undefined], "npm alone");
});

Deno.test("no package runs a script when it is installed", () => {
  assert.equal(manifest.nodeModulesDir, "none"); // then Deno runs none at all
  const withScripts = Object.entries(lock.npm).filter(([, { scripts }]) => scripts).map(([name]) =>
    name.replace(/@[^@]*$/, "")
  );
  for (const name of withScripts) {
    assert.ok(manifest.allowScripts.deny.includes(`npm:${name}`), name);
  }
});

Deno.test("docs/security.md names every package, those that others bring along too, with its licence", async () => {
  const rows = [...file("docs/security.md").matchAll(/^\| `([^`]+@\d[^`]*)` +\| ([^|]+?) +\|/gm)]
    .map(([, name = "", licence]) => [name, licence] as const);
  assert.deepEqual(rows.map(([name]) => name).toSorted(), Object.keys(lock.npm).toSorted());
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  const { npmCache } = JSON.parse(new TextDecoder().decode(stdout)) as { npmCache: string };
  for (const [name, licence] of rows) {
    const path = `${npmCache}/registry.npmjs.org/${name.replace(/@([^@]*)$/, "/$1")}/package.json`;
    const text = await Deno.readTextFile(path).catch(() => undefined);
    if (text === undefined) continue; // not of this platform
    assert.equal((JSON.parse(text) as { license?: string }).license, licence, name);
  }
});

Deno.test("CI asks for known weaknesses of them", () => {
  assert.match(file(".github/workflows/ci.yml"), /run: npx -y deno@2\.9\.6 audit/);
});
