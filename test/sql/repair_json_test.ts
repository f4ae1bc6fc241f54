import assert from "node:assert/strict";
import { SqlFixture } from "../support/sql_fixture.ts";

const CHARACTERS = "characters that jsonb cannot hold became U+FFFD";
const NUMBERS = "numbers beyond the range of numeric became strings";

/** Text of a JSON document, what becomes of it as text of jsonb, and what is said about it. */
const REPAIRS: readonly (readonly [string, string, string, string])[] = [
  ["NUL", String.raw`["a\u0000b"]`, '["a\ufffdb"]', CHARACTERS],
  ["NUL twice", String.raw`["\u0000\u0000"]`, '["\ufffd\ufffd"]', CHARACTERS],
  ["NUL in a key", String.raw`{"\u0000": 1}`, '{"\ufffd": 1}', CHARACTERS],
  ["NUL after a backslash", String.raw`["\\\u0000"]`, '["\\\\\ufffd"]', CHARACTERS],
  ["no NUL at all", String.raw`["\\u0000", "\u0000"]`, '["\\\\u0000", "\ufffd"]', CHARACTERS],
  ["high alone", String.raw`["\ud83dx"]`, '["\ufffdx"]', CHARACTERS],
  ["high at the end", String.raw`["\uD83D"]`, '["\ufffd"]', CHARACTERS],
  ["low alone", String.raw`["x\uDE00"]`, '["x\ufffd"]', CHARACTERS],
  ["reversed", String.raw`["\ude00\ud83d"]`, '["\ufffd\ufffd"]', CHARACTERS],
  ["two highs and a low", String.raw`["\ud83d\ud83d\ude00"]`, '["\ufffd😀"]', CHARACTERS],
  ["a high and two lows", String.raw`["\ud83d\ude00\ude00"]`, '["😀\ufffd"]', CHARACTERS],
  ["pairs stay", String.raw`["\uD83D\uDE00\ud83d\ude01\u0000"]`, '["😀😁\ufffd"]', CHARACTERS],
  [
    "escaped pair",
    String.raw`["\\ud83d\\ude00\u0000"]`,
    '["\\\\ud83d\\\\ude00\ufffd"]',
    CHARACTERS,
  ],
  ["backslash and pair", String.raw`["\\\ud83d\ude00\u0000"]`, '["\\\\😀\ufffd"]', CHARACTERS],
  ["other escapes", String.raw`["\u00e9\n\"\/\u0000"]`, '["é\\n\\"/\ufffd"]', CHARACTERS],
  ["U after a backslash", String.raw`["\\Uabcd\u0041\u0000"]`, '["\\\\UabcdA\ufffd"]', CHARACTERS],
  ["L after a backslash", String.raw`["\\Ldabc\u0000"]`, '["\\\\Ldabc\ufffd"]', CHARACTERS],
  [
    "digits",
    String.raw`["\u0000", 0.10, 12345678901234567890]`,
    '["\ufffd", 0.10, 12345678901234567890]',
    CHARACTERS,
  ],
  ["large", "[1e400000, 1.50]", '["1e400000", 1.50]', NUMBERS],
  [
    "large, in a string",
    String.raw`["a\",1e5000,", 1e400000]`,
    String.raw`["a\",1e5000,", "1e400000"]`,
    NUMBERS,
  ],
  ["large, in an object", '{"a":-1.5E+400000}', '{"a": "-1.5E+400000"}', NUMBERS],
  ["large, side by side", "[1e400000,1e400000]", '["1e400000", "1e400000"]', NUMBERS],
  [
    "large, and NUL",
    String.raw`["\u0000",1e400000]`,
    '["\ufffd", "1e400000"]',
    `${CHARACTERS}; ${NUMBERS}`,
  ],
];

Deno.test("repair_json", async (t) => {
  await using sql = await SqlFixture.create();
  const repair = (text: string): Promise<Record<string, unknown>> =>
    sql.row("select document::text as document, alteration from p2p.repair_json($1)", text);

  for (const [name, text, document, alteration] of REPAIRS) {
    await t.step(name, async () => {
      await assert.rejects(sql.rows("select $1::text::jsonb", text), "jsonb takes it as it is");
      assert.deepEqual(await repair(text), { document, alteration });
    });
  }
  for (
    const text of ["", "<html>", "[1,]", String.raw`["\ud8"]`, "[" + "9".repeat(140_000) + "]"]
  ) {
    await t.step(`hopeless: ${text.slice(0, 10)}`, async () => {
      const { document, alteration } = await repair(text);
      assert.equal(document, null);
      assert.match(String(alteration), /^jsonb cannot hold it: ./);
    });
  }
});
