// What the tutorial and the recipes tell people to type does what they show; the SQL of sql/README.md runs.
import assert from "node:assert/strict";
import { type Block, blocksOf } from "../support/documents.ts";
import { commandsOf, DocumentSession } from "../support/document_session.ts";
import { misfit, shapeOf } from "../support/document_shape.ts";
import { skipLoudly } from "../support/embedded.ts";

const hasPsql = await new Deno.Command("psql", { args: ["--version"], stdout: "null" }).output()
  .then(({ success }) => success, () => false);

const place = ({ file, line }: Block): string => `${file}:${line}`;

Deno.test("commands and SQL of the documents, in order, with what they print", async (t) => {
  if (!hasPsql) return skipLoudly("the documents (needs psql: apt-get install postgresql-client)");
  await using session = await DocumentSession.create({ MARKETS: "*/USDT,VES/*,ARS/*" });
  for (const file of ["docs/tutorial.md", "docs/how-to.md", "README.md"]) {
    await t.step(file, async () => {
      const commands = commandsOf(blocksOf(file));
      assert.ok(commands.length > 0, file);
      const outcomes = await session.run(commands);
      const wrong = commands.flatMap(({ block, shown, output, mayFail }, i) => {
        const { code, output: came } = outcomes[i] ?? { code: -1, output: "" };
        const misfits = misfit(output, came);
        if ((code === 0 || mayFail) && misfits === undefined) return [];
        return [`${place(block)} ${shown.trim()}: exit ${code}; ${misfits ?? ""}\n${came}`];
      });
      assert.deepEqual(wrong, []);
    });
  }
  await t.step("sql/README.md", async () => {
    const blocks = blocksOf("sql/README.md");
    const statements = blocks.filter(({ language, mark }) => language === "sql" && !mark);
    assert.ok(statements.length > 20, `${statements.length} statements`);
    const outputs = await session.tryStatements(statements);
    const wrong = statements.flatMap((block, i) => {
      const came = outputs[i] ?? "ERROR: it did not run";
      const next = blocks[blocks.indexOf(block) + 1];
      const [heading] = next?.language === "text" ? shapeOf(next.text) : [];
      const fits = heading === undefined || !heading.includes(" | ") ||
        shapeOf(came)[0] === heading;
      return /ERROR:|error:/.test(came) || !fits ? [`${place(block)}: ${heading}\n${came}`] : [];
    });
    assert.deepEqual(wrong, []);
  });
});

Deno.test("a shape: numbers, times and rows differ, words and headings do not", () => {
  const table = " a | b\n---+---\n 1 | x\n(1 row)\n";
  assert.deepEqual(shapeOf(table), ["a | b", "row", "(0 row)"]);
  assert.equal(misfit(table, table.replace("x", "y").replace("1 |", "22 |")), undefined);
  assert.equal(misfit(table, table.replace("b", "c")), "a | b");
  assert.equal(misfit("one\n…\nlast 1\n", "one\n2\n3\nlast 4\n"), undefined);
  assert.equal(misfit("one\n…\nlast\n", "one\n2\n3\n"), "last");
  assert.equal(misfit("", "more\n"), "1 lines that are not shown");
  assert.equal(misfit("loaded 7 in 1.5 s\n", "loaded 1,234 in 0.2 s\n"), undefined);
  assert.notEqual(misfit("loaded 7\n", "lost 7\n"), undefined);
});
