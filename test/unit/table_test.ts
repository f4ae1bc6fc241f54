import assert from "node:assert/strict";
import { type Column, renderCsv, renderTable } from "../../src/cli/table.ts";
import { displayWidth } from "../../src/cli/terminal.ts";

const plain = { bold: (text: string) => text };
const left = (name: string): Column => ({ name, alignment: "left" });
const right = (name: string): Column => ({ name, alignment: "right" });

function lines(columns: Column[], rows: string[][]): string[] {
  const text = renderTable(columns, rows, plain);
  assert(text.endsWith("\n"));
  return text.slice(0, -1).split("\n");
}

Deno.test("columns are aligned under their names", () => {
  assert.deepEqual(lines([left("fiat"), right("offers")], [["VES", "1"], ["ARGENT", "12345678"]]), [
    "fiat      offers",
    "──────  ────────",
    "VES            1",
    "ARGENT  12345678",
  ]);
});

Deno.test("no rows: header and rule", () => {
  assert.deepEqual(lines([left("a"), right("bc")], []), ["a  bc", "─  ──"]);
});

Deno.test("the header is bold, and a row's missing cells are empty", () => {
  const bold = (text: string) => `<${text}>`;
  assert.equal(renderTable([left("a"), left("b")], [["1"]], { bold }), "<a  b>\n─  ─\n1\n");
});

Deno.test("wide characters keep the next column in its place", () => {
  const [, , ...rows] = lines([left("name"), left("x")], [
    ["币安商家", "|"],
    ["المتجر", "|"],
    ["💸🇻🇪👨‍👩‍👧", "|"],
    ["ﾊﾝｶｸ", "|"],
    ["ＦＵＬＬ", "|"],
    ["e\u0301a\u0308", "|"],
    ["❤️ ok", "|"],
  ]);
  const before = rows.map((row) => displayWidth(row.slice(0, row.indexOf("|"))));
  assert.deepEqual(new Set(before).size, 1, rows.join("\n"));
});

for (
  const [text, width] of [
    ["", 0],
    ["abc", 3],
    ["é", 1],
    ["e\u0301", 1],
    ["日本", 4],
    ["한국", 4],
    ["가", 2], // two jamo, one syllable
    ["「」", 4],
    ["ｱｲｳ", 3],
    ["Ａ￥", 4],
    ["💸", 2],
    ["🇻🇪", 2],
    ["👩🏽‍💻", 2],
    ["✔", 1],
    ["❤️", 2],
    ["a\u200bb", 2],
    ["Дмитрий", 7],
  ] as const
) {
  Deno.test(`${JSON.stringify(text)} takes ${width} columns`, () => {
    assert.equal(displayWidth(text), width);
  });
}

Deno.test("control characters never reach the terminal, in cells and in names", () => {
  const text = renderTable([left("a\nb"), left("c")], [[
    "x\r\n\ty\x1b[31m\x00\x7f\x9b2J",
    "\u202eabc",
  ]], plain);
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(text.replaceAll("\n", ""), /[\x00-\x1f\x7f-\x9f\u202e]/);
  assert.deepEqual(text.split("\n").length, 4, "header, rule, one row, the end");
  assert.match(text, /^a\\nb /);
  assert(text.includes("x\\r\\n\\ty\\x1b[31m\\x00\\x7f\\x9b2J  \\u202eabc"));
});

Deno.test("CSV: quotes only where they are needed; NULL is empty, an empty text is quoted", () => {
  const rows = [["1", null, ""], ["a,b", 'say "hi"', "two\nlines"], [" x ", "\r", "币"]];
  assert.equal(
    renderCsv(["a", "b", "c,d"], rows),
    'a,b,"c,d"\r\n1,,""\r\n"a,b","say ""hi""","two\nlines"\r\n x ,"\r",币\r\n',
  );
  assert.equal(renderCsv(["only"], []), "only\r\n");
});
