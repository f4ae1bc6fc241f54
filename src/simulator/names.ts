import { hash, pick, SALT, unit } from "./random.ts";

// Words of no particular person, in the scripts that advertisers use.
const LATIN =
  "alto bravo cambio dinero exacto fuerte grano hilo isla justo kilo luna mango norte oro plata quinto rapido sol turbo uno vega zen"
    .split(" ");
const WORDS: readonly (readonly string[])[] = [
  ["обмін", "швидко", "крипта", "надійно", "Дніпро", "Сокіл", "місто", "зірка"],
  ["快速", "商家", "诚信", "币商", "小店", "秒付", "大海", "星辰"],
  ["صرافة", "سريع", "الأمان", "نجم", "الثقة", "بحر", "ذهب"],
  ["แลก", "เร็ว", "ทอง", "ดาว", "เหรียญ", "ร้าน"],
  ["तेज़", "भरोसा", "सोना", "तारा", "सिक्का"],
  ["환전", "빠른", "믿음", "별빛", "바다"],
  ["ანგარიში", "სწრაფი", "ვარსკვლავი"],
];
const EMOJI = ["🚀", "⚡", "💎", "🇺🇦", "👨‍👩‍👧", "✅", "🦊", "🌙"];
const LONGEST = 25;

/**
 * The nickname of an advertiser, at most 25 UTF-16 units, of any script.
 * @param version which of the names this advertiser has had
 */
export function nickname(seed: number, fiat: number, advertiser: number, version: number): string {
  const key = fiat * 131_072 + advertiser;
  const kind = unit(seed, SALT.name, key, version, 1);
  const first = unit(seed, SALT.name, key, version, 2);
  const second = unit(seed, SALT.name, key, version, 3);
  const number = hash(seed, SALT.name, key, version, 4) % 10_000;
  let name: string;
  if (kind < 0.55) {
    const word = pick(LATIN, first);
    name = `${word.charAt(0).toUpperCase()}${word.slice(1)}${
      pick(["_", "-", " ", "", "."], second)
    }${pick(LATIN, (second * 7) % 1)}${number % 3 === 0 ? "" : number}`;
  } else if (kind < 0.9) {
    const words = pick(WORDS, first);
    name = `${pick(words, second)}${pick(words, (second * 13) % 1)}${
      number % 2 === 0 ? number : ""
    }`;
  } else if (kind < 0.97) {
    name = `${pick(EMOJI, first)}${pick(LATIN, second)}${number}${pick(EMOJI, (first * 11) % 1)}`;
  } else {
    name = pick([
      `O'${number}`,
      `"${number}"`,
      `a\\b${number}`,
      `<b>${number}</b>`,
      `x,${number};--`,
    ], first);
  }
  return name.length <= LONGEST ? name : [...name].slice(0, 12).join("");
}
