// How files of recorded pages are read: lines, the text of a body, what a line must say.
import assert from "node:assert/strict";
import { binance } from "../../src/exchange/binance.ts";
import { type Line, linesOf } from "../../src/import/lines.ts";
import { memberText } from "../../src/import/member_text.ts";
import { LineError, readRecordedPage, type RecordedPage } from "../../src/import/recorded_page.ts";

const exchanges = new Map([[
  "binance",
  binance({ baseUrl: "https://p2p.binance.com", search: "/search", pairs: undefined }),
]]);
const NOW = new Date("2026-11-20T12:00:00Z");

async function linesIn(text: string, chunkBytes: number, longest = 100): Promise<string[]> {
  const bytes = new TextEncoder().encode(text);
  const chunks = Array.from(
    { length: Math.ceil(bytes.length / chunkBytes) },
    (_, i) => bytes.slice(i * chunkBytes, (i + 1) * chunkBytes),
  );
  const told = ({ number, bytes, isEnded }: Line) =>
    `${number}${isEnded ? "" : "…"}:${bytes ? new TextDecoder().decode(bytes) : "too long"}`;
  return (await Array.fromAsync(linesOf(ReadableStream.from(chunks), longest))).map(told);
}

Deno.test("lines are found wherever the chunks are cut", async () => {
  for (let chunkBytes = 1; chunkBytes < 20; chunkBytes++) {
    assert.deepEqual(await linesIn("one\n\nthrée\r\nfo", chunkBytes), [
      "1:one",
      "2:",
      "3:thrée\r",
      "4…:fo",
    ]);
  }
  assert.deepEqual(await linesIn("", 1), []);
  assert.deepEqual(await linesIn("a\n", 5), ["1:a"]);
});

Deno.test("a line that is too long is passed over, those after it are not", async () => {
  const long = "x".repeat(11);
  for (const chunkBytes of [1, 4, 100]) {
    assert.deepEqual(
      await linesIn(`a\n${long}\nb\n${long}`, chunkBytes, 10),
      ["1:a", "2:too long", "3:b", "4…:too long"],
    );
  }
});

Deno.test("the text of a member is cut out as it stands", () => {
  const cut = (text: string, key = "body") => {
    JSON.parse(text);
    return memberText(text, key);
  };
  for (
    const value of [
      '{"advNo": 13908303176808550400, "price": 461.50}',
      "[1.0, 2.00,[ ] ]",
      '"a \\" , } \\\\"',
      "12345678901234567890.10",
      "null",
      '{"a":"}","b":"\\\\"}',
    ]
  ) {
    assert.equal(cut(`{"body":${value}}`), value);
    assert.equal(cut(` {"x": {"body": 1}, "body" : ${value} , "y": "body"} `), value);
    assert.equal(cut(`{"a":"\\"body\\":1","b\\u006fdy":${value}}`), value, "escaped key");
  }
  assert.equal(cut('{"body":1,"body":2}'), "2", "the last one, as for JSON.parse");
  assert.equal(cut('{"a":1}'), undefined);
  assert.equal(cut("{}"), undefined);
});

const BODY = '{"code":"000000","data":[],"total":0,"success":true}';
const WHOLE = {
  time: '"2026-07-29T03:12:58Z"',
  exchange: '"binance"',
  fiat: '"USD"',
  asset: '"USDT"',
  side: '"BUY"',
  page: "1",
  body: BODY,
};

/** A line with these members in the place of others; undefined takes one away. */
function read(
  members: Record<string, string | undefined>,
  windowMinutes?: number,
): RecordedPage {
  const all = Object.entries({ ...WHOLE, ...members }).filter(([, value]) => value !== undefined);
  const text = `{${all.map(([name, value]) => `"${name}": ${value}`).join(", ")}}`;
  return readRecordedPage(text, { exchanges, windowMinutes, now: NOW });
}

function refused(members: Record<string, string | undefined>): string {
  try {
    read(members);
  } catch (error) {
    assert.ok(error instanceof LineError);
    return error.message;
  }
  return "taken";
}

Deno.test("a line says everything, or leaves out what is plain", () => {
  const page = read({});
  assert.equal(page.observedAt.toISOString(), "2026-07-29T03:12:58.000Z");
  assert.equal(page.batchStart.toISOString(), "2026-07-29T03:12:58.000Z");
  assert.equal(page.body, BODY);
  assert.deepEqual(read({ exchange: undefined, page: undefined }), page);
  assert.deepEqual(
    read({
      time: undefined,
      fecha_utc: '"2026-07-29 03:12:58"',
      side: undefined,
      lado: '"compra"',
    }),
    page,
    "as in the recordings of 2026",
  );
  assert.deepEqual(read({ time: "1785294778" }), page, "seconds");
  assert.deepEqual(read({ time: "1785294778000" }), page, "milliseconds");
  assert.deepEqual(read({ body: JSON.stringify(BODY) }), page, "the text of the body");
  const ad = '{"adv":{"asset":"USDT","fiatUnit":"USD","advNo":13908303176808550400}}';
  const list = read({ fiat: undefined, asset: undefined, body: undefined, anuncios: `[${ad}]` });
  assert.deepEqual([list.fiat, list.asset], ["USD", "USDT"]);
  assert.equal(list.body, `{"data": [${ad}]}`);
  assert.equal(list.alteration, "only the list of offers was recorded");
  assert.equal(read({ payTypes: '["Zinli"]' }).filteredBy, "payTypes Zinli");
  assert.equal(read({ payTypes: '"Zinli"' }).filteredBy, "payTypes Zinli", "one alone");
  assert.equal(read({ payTypes: '["a\\u0000b\\ud800"]' }).filteredBy, "payTypes a b\ufffd");
  assert.equal(read({ payTypes: "[]" }).filteredBy, undefined);
  assert.equal(read({ payTypes: '""' }).filteredBy, undefined);
});

Deno.test("the batch of a line follows from the line alone", () => {
  const batch = (members: Record<string, string>, window?: number) =>
    read(members, window).batchStart.toISOString().slice(11, 19);
  assert.equal(batch({}), "03:12:58");
  assert.equal(batch({}, 10), "03:10:00");
  assert.equal(batch({}, 60), "03:00:00");
  assert.equal(batch({ batch: '"2026-07-29T03:12:00Z"' }, 10), "03:12:00", "named ones stay");
});

Deno.test("what cannot be taken is refused with the reason", () => {
  for (
    const [members, reason] of [
      [{ time: undefined }, /^no time$/],
      [{ side: undefined }, /^no side$/],
      [{ fiat: undefined }, /^no fiat/],
      [{ body: undefined }, /^no body/],
      [{ time: '"yesterday"' }, /^time is "yesterday"/],
      [{ time: '"2026-07-29"' }, /^time is "2026-07-29"/],
      [{ time: '"2026-02-30T00:00:00Z"' }, /^time is/],
      [{ time: '"2026-11-20T12:02:00Z"' }, /has not come yet/],
      [{ batch: '"2026-11-20T12:02:00Z"' }, /^batch .* has not come yet/],
      [{ batch: '"2026-07-27T03:12:58Z"' }, /more than a day apart/],
      [{ time: '"1970-01-01T00:00:00Z"' }, /before there was anything/],
      [{ time: "true" }, /^time is true/],
      [{ exchange: '"okx"' }, /^unknown exchange "okx"; known: binance$/],
      [{ exchange: '{"toString":1,"valueOf":2}' }, /^unknown exchange \{/], // String() of it throws
      [{ side: '"HOLD"' }, /^side is "HOLD" instead of BUY or SELL$/],
      [{ side: "1" }, /^side is 1/],
      [{ fiat: '"us dollars"' }, /^fiat is "us dollars"/],
      [{ asset: "5" }, /^asset is 5/],
      [{ page: "0" }, /^page is 0/],
      [{ page: "1.5" }, /^page is 1.5/],
      [{ rows: '"many"' }, /^rows is "many"/],
      [{ body: '{"code":"000002","message":"illegal parameter","success":false}' }, /illegal/],
      [{ body: '{"success":false,"message":"too\\u001b[31m busy"}' }, /too \[31m busy/],
      [{ body: '{"code":"000000","data":null,"success":true}' }, /data is null/],
      [{ body: '"<html>"' }, /text that is not JSON/],
      [{ body: "7" }, /a number instead of an object/],
      [{ body: '[{"adv":{"tradeType":"BUY"}},{"adv":{"tradeType":"BUY"}}]' }, /asks for SELL/],
      [{ side: '"SELL"', body: '[{"adv":{"tradeType":"SELL"}}]' }, /asks for BUY/],
      [{ body: '[{"adv":{"fiatUnit":"VES"}}]' }, /^fiat is "USD", but all .* of "VES"$/],
      [{ body: '[{"adv":{"asset":"BTC"}}]' }, /^asset is "USDT", but all .* of "BTC"$/],
    ] as const
  ) assert.match(refused(members as Record<string, string>), reason);
  for (
    const [text, reason] of [
      ["{", /on one line, as jq -c/],
      ["[]", /jq -c '\.\[\]'/],
      ["7", /a number/],
      ["null", /null/],
      ["nonsense", /^not JSON/],
    ] as const
  ) {
    assert.throws(
      () => readRecordedPage(text, { exchanges, windowMinutes: undefined, now: NOW }),
      (error) => error instanceof LineError && reason.test(error.message),
    );
  }
});
