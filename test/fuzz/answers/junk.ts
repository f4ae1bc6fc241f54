/** Values that are not what stands there usually, as JSON text. */
import type { Dice } from "../../support/random.ts";

const DIGITS_60 = "123456789012345678901234567890.12345678901234567890123456789";

const PLAIN: readonly [string, ...string[]] = [
  "null",
  "true",
  "false",
  "0",
  "-0",
  "-1",
  "1",
  "1.50",
  "1e400",
  "1e-400",
  "-1e400",
  "1e99",
  "1E-8",
  "1e5",
  "0.1e1",
  "1e131071",
  "1e200000",
  "1e-20000",
  "1e999999999999",
  "9223372036854775808",
  "18446744073709551616",
  "99999999999999999999",
  "2147483648",
  "-2147483649",
  "4294967296",
  "1234567890",
  DIGITS_60,
  `${DIGITS_60}9`,
  "[]",
  "{}",
  "[null]",
  "[[]]",
  "[{}]",
  "[[[[[[]]]]]]",
  `{"a":{"b":{"c":[1]}}}`,
  `["x"]`,
  "[1,2,3]",
].map(String) as [string, ...string[]];

const TEXTS: readonly [string, ...string[]] = [
  `""`,
  `" "`,
  `"0"`,
  `"-0"`,
  `"-1"`,
  `"NaN"`,
  `"nan"`,
  `"Infinity"`,
  `"-infinity"`,
  `"1e400"`,
  `"1e99"`,
  `"1e-99"`,
  `"1E-8"`,
  `"1e5"`,
  `"+5"`,
  `".5"`,
  `"5."`,
  `"1,5"`,
  `"1 000"`,
  `"1_000"`,
  `"0x10"`,
  `"0b1"`,
  `"1e"`,
  `"--1"`,
  `"007"`,
  `"00.10"`,
  `"1.0000"`,
  `"\u0661\u0662"`,
  `"\uff11\uff12"`,
  `"1\\n"`,
  `"\\n1"`,
  `" 1"`,
  `"1\u00a0"`,
  `"\u00bd"`,
  `"${DIGITS_60}"`,
  `"${DIGITS_60}9"`,
  `"${"9".repeat(200)}"`,
  `"0.${"0".repeat(57)}1"`,
  `"true"`,
  `"false"`,
  `"null"`,
  `"[]"`,
  `"{}"`,
  `"$1"`,
  `"%s"`,
  `"'; drop table p2p.fact_offers; --"`,
  `"\\\\"`,
  `"\\\\u0000"`,
  `"\\\\\\u0000"`,
  `"\\u0000"`,
  `"a\\u0000b"`,
  `"\\ud800"`,
  `"\\udc00\\ud800"`,
  `"\\ud83d\\ude00"`,
  `"\\ud83d\\ud83d\\ude00"`,
  `"\ufeff"`,
  `"\u202eabc"`,
  `"e\u0301"`,
  `"\u00e9"`,
  `"\ufffd"`,
  `"\uffff"`,
  `"\u2028"`,
  `"\ud83d\udc68\u200d\ud83d\udc69"`,
  `"\u0130"`,
  `"\u00df"`,
  `"\\u0001\\u001f\\u007f"`,
  `"BUY"`,
  `"SELL"`,
  `"8"`,
  `"99999999999999"`,
  `"1600000000000"`,
  `"<script>alert(1)</script>"`,
  `"__proto__"`,
  `"USDT"`,
];

export function junk(dice: Dice): string {
  const chance = dice.next();
  if (chance < 0.4) return dice.pick(PLAIN);
  if (chance < 0.85) return dice.pick(TEXTS);
  if (chance < 0.9) return JSON.stringify(noise(dice, Math.floor(dice.between(1, 60))));
  if (chance < 0.94) return JSON.stringify(noise(dice, Math.floor(dice.between(90, 400))));
  if (chance < 0.965) return JSON.stringify(noise(dice, Math.floor(10 ** dice.between(2.5, 4.1))));
  if (chance < 0.98) return nested(dice);
  if (chance < 0.99) return `[${manyMethods(dice, Math.floor(10 ** dice.between(1, 3.5)))}]`;
  if (chance < 0.992) return `"${"x".repeat(Math.floor(10 ** dice.between(4, 6)))}"`;
  if (chance < 0.994) return `1${"0".repeat(Math.floor(10 ** dice.between(2, 5.3)))}`;
  return `"${"9".repeat(Math.floor(dice.between(50, 5000)))}"`;
}

/** Characters of all planes, which do not compress. */
export function noise(dice: Dice, length: number): string {
  let text = "";
  for (let i = 0; i < length; i++) {
    const code = Math.floor(dice.next() * (dice.next() < 0.6 ? 0x80 : 0x110000));
    text += code >= 0xd800 && code <= 0xdfff ? "\ufffd" : String.fromCodePoint(code);
  }
  return text;
}

export function nested(dice: Dice): string {
  const depth = Math.floor(10 ** dice.between(0.5, 5));
  if (dice.next() < 0.5) return "[".repeat(depth) + "]".repeat(depth);
  const key = dice.pick(["a", "1"]); // JSON.stringify dies of numbers as keys
  return `{"${key}":`.repeat(depth) + "1" + "}".repeat(depth);
}

function manyMethods(dice: Dice, count: number): string {
  return Array.from({ length: count }, () => {
    const code = Math.floor(dice.next() * 5000);
    return dice.next() < 0.5 ? `{"identifier":"M${code}","tradeMethodName":null}` : `"${code}"`;
  }).join(",");
}
