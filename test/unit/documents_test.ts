// The documents: links lead somewhere, promises have tests, code is run or says why not, the newest version is told.
import assert from "node:assert/strict";
import manifest from "../../deno.json" with { type: "json" };
import {
  anchorsOf,
  type Block,
  blocksOf,
  documentPaths,
  hasTest,
  isCode,
  isThere,
  linksOf,
  readDocument,
} from "../support/documents.ts";

const PROMISES = "docs/what-happens.md";
/** Their code is run by test/integration/documents_test.ts. */
const RUN = ["docs/tutorial.md", "docs/how-to.md", "README.md"];

const paths = await documentPaths();

const place = ({ file, line }: { file: string; line: number }): string => `${file}:${line}`;

/** The path below the project that a link of a document leads to. */
function targetOf(file: string, target: string): { path: string; anchor: string | undefined } {
  const [path = "", anchor] = target.split("#");
  const resolved = path === "" ? file : new URL(path, `file:///${file}`).pathname.slice(1);
  return { path: decodeURIComponent(resolved), anchor };
}

Deno.test("every link of every document leads to a file, and every anchor to a heading", () => {
  const links = paths.flatMap((path) => linksOf(path));
  assert.ok(links.length > 100, `${links.length} links`);
  const dead = links.filter(({ file, target }) => {
    if (/^https?:/.test(target)) return false;
    const { path, anchor } = targetOf(file, target);
    return !isThere(path) || anchor !== undefined && !anchorsOf(path).has(anchor);
  });
  assert.deepEqual(dead.map((link) => `${place(link)} ${link.target}`), []);
});

Deno.test("links and anchors are found where they are, and code is no link", () => {
  const text = '# A [b](c.md) & `d`\n\n## A\n\n## A\n\n`[x](y)` [z](\n  w.md#a-1 "t\n  u")\n';
  assert.deepEqual([...anchorsOf("x.md", text)], ["a-b--d", "a", "a-1"]);
  assert.deepEqual(linksOf("x.md", text).map(({ target, title }) => [target, title]), [
    ["c.md", undefined],
    ["w.md#a-1", "t u"],
  ]);
});

Deno.test("every promise of docs/what-happens.md names tests that there are", () => {
  const text = readDocument(PROMISES);
  const [, ...sections] = text.split(/^## /m);
  const promises = sections.flatMap((section) => section.split(/^- /m).slice(1));
  assert.ok(promises.length > 60, `${promises.length} promises`);
  for (const section of sections) {
    assert.match(section, /^[^\n]*\n\n- /, `between heading and promises: ${section.slice(0, 80)}`);
  }
  const isShown = (promise: string) =>
    linksOf(PROMISES, promise).some(({ target, title }) => /_test\.ts$/.test(target) && title);
  assert.deepEqual(promises.filter((promise) => !isShown(promise)), [], "without a test");
  const named = linksOf(PROMISES, text).filter(({ target }) => /_test\.ts$/.test(target));
  const missing = named.filter(({ file, target, title }) =>
    title === undefined || !hasTest(targetOf(file, target).path, title)
  );
  assert.deepEqual(missing.map((link) => `${place(link)} ${link.title}`), []);
});

Deno.test("a test that is not there is missed", () => {
  const file = "test/unit/documents_test.ts";
  assert.ok(hasTest(file, "a test that is not there is missed"));
  assert.ok(hasTest(file, "a test … is missed"));
  assert.ok(!hasTest(file, "a test that is not " + "anywhere"));
  assert.ok(!hasTest("test/unit/nowhere_test.ts", "a test"));
});

Deno.test("code in documents is run, by this or another test, or says why not", () => {
  const codes = paths.flatMap((path) => blocksOf(path)).filter(isCode);
  const isRun = ({ file, language, mark }: Block) =>
    mark?.kind === "file" || RUN.includes(file) && ["sql", "console"].includes(language) ||
    file === "sql/README.md" && language === "sql";
  const silent = codes.filter((block) => block.mark === undefined && !isRun(block));
  assert.deepEqual(silent.map(place), [], "neither run nor marked");

  const byOthers = codes.filter(({ mark }) => mark?.kind === "run by");
  for (const block of byOthers) {
    const [, file = "", name = ""] = /^(\S+_test\.ts) "(.*)"$/.exec(block.mark?.text ?? "") ?? [];
    assert.ok(hasTest(file, name), `${place(block)}: ${block.mark?.text}`);
  }
  const not = codes.filter(({ mark }) => mark?.kind === "not run");
  // deno-lint-ignore no-console
  console.log(
    [
      `${codes.length} blocks of code: ${byOthers.length} run by tests of their own, not run ${not.length}:`,
      ...not.map((block) => `  ${place(block)}: ${block.mark?.text}`),
    ].join("\n"),
  );
});

Deno.test("CHANGELOG.md begins with the version of deno.json, and has every release that upgrades start from", async () => {
  const versions = [...readDocument("CHANGELOG.md").matchAll(/^## (\d+\.\d+\.\d+)\b/gm)].map((
    [, version = ""],
  ) => version);
  assert.equal(versions[0], manifest.version);
  const former: string[] = [];
  for await (const { name } of Deno.readDir(new URL("../releases", import.meta.url))) {
    former.push(name);
  }
  assert.deepEqual(versions.slice(1), former.sort().reverse());
});
