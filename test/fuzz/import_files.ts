import { gzipSync } from "node:zlib";
import { Database } from "../../src/database/connection.ts";
import { binance } from "../../src/exchange/binance.ts";
import { bybit } from "../../src/exchange/bybit.ts";
import { importFiles } from "../../src/import/importer.ts";
import {
  type ImportedBatch,
  ImportStore,
  type LineProblem,
} from "../../src/import/import_store.ts";
import { Dice } from "../support/random.ts";
import { urlAs } from "../support/database.ts";
import { recorded } from "../support/recordings.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";
import { junk } from "./answers/junk.ts";
import { copyOf, textOf, type Tree, treeOf } from "./answers/tree.ts";
import { type Finding, shrink } from "./shrink.ts";
import { type FuzzOptions, type FuzzReport, Tally } from "./target.ts";

const LINES_A_FILE = 60;
const SLOWEST_SECONDS = 60;
const EXCHANGES = new Map([
  binance({ baseUrl: "http://127.0.0.1", search: "/", pairs: undefined }),
  bybit({ baseUrl: "http://127.0.0.1", search: "/" }),
].map((exchange) => [exchange.code, exchange]));

/** A line, and the offer that is lost with it where nobody may lose it. */
interface Line {
  readonly bytes: Uint8Array;
  readonly offerId: string | undefined;
}

/** Files with spoiled lines: every line is imported or named, and what is whole is in the database. */
export async function fuzzImport({ cases, seed, folder, say }: FuzzOptions): Promise<FuzzReport> {
  const dice = new Dice(seed);
  const findings = new Map<string, Finding>();
  const seen = new Tally();
  let done = 0;
  while (done < cases) {
    await using sql = await SqlFixture.create();
    await using database = new Database(urlAs("worker", sql.url), {
      applicationName: "fuzz",
      connections: 1,
    });
    for (let file = 0; file < 20 && done < cases; file++) {
      const lines = Array.from({ length: LINES_A_FILE }, () => makeLine(dice, done++));
      const packing = dice.pick(["plain", "plain", "plain", "gzip", "gzip cut", "no end"]);
      const fails = (some: readonly Line[], tally?: Tally) =>
        broken(sql, database, `${folder}/import`, some, packing, tally);
      const what = await fails(lines, seen);
      if (what === undefined || findings.has(what)) continue;
      say(`${what}; looking for the smallest input`);
      const smallest = await shrink(lines, async (some) => await fails(some) === what, 40);
      const text = smallest.map(({ bytes }) => new TextDecoder().decode(bytes)).join("\n");
      findings.set(what, { what, detail: packing, input: text });
    }
  }
  return { cases: done, findings: [...findings.values()], seen: seen.counts };
}

/** Each is a batch of its own, so that what is wrong with one is no matter of another. */
function makeLine(dice: Dice, number: number): Line {
  const id = `${2n ** 63n + BigInt(number)}`;
  const time = new Date(Date.UTC(2024, 0, 1) + number * 60_000).toISOString();
  const market = `F${number % 7}/A${number % 3} ${number % 2 === 0 ? "BUY" : "SELL"}` as const;
  const text = recorded(time, market, [offer({ number: id } as never), offer()].slice(0, 1));
  const whole = text.replace(/"advNo":"[^"]*"/, `"advNo":"${id}"`);
  const encoder = new TextEncoder();
  const chance = dice.next();
  if (chance < 0.4) return { bytes: encoder.encode(whole), offerId: id };
  if (chance < 0.75) {
    const tree = treeOf(JSON.parse(whole));
    if (typeof tree !== "string" && "fields" in tree) {
      for (let i = 0; i < dice.between(0.5, 3); i++) spoil(dice, tree.fields);
    }
    return { bytes: encoder.encode(textOf(tree)), offerId: undefined };
  }
  const cut = Math.floor(dice.next() * whole.length);
  const changed = dice.pick([
    whole.slice(0, cut),
    whole + whole,
    `${whole},`,
    `[${whole}]`,
    "",
    "   ",
    "null",
    "\ufeff" + whole,
    "\0" + whole,
    whole.replaceAll("\0", "").slice(0, cut) + "\0" + whole.slice(cut),
    whole.replace('"body":', '"bodies":'),
    `{"time":"${time}"}`,
    "[".repeat(50_000),
    `{"a":`.repeat(20_000),
    "x".repeat(Math.floor(10 ** dice.between(1, 7))),
  ]);
  const bytes = encoder.encode(changed).map((byte) => byte === 10 ? 32 : byte);
  if (dice.next() < 0.3 && bytes.length > 0) {
    bytes[Math.floor(dice.next() * bytes.length)] = dice.pick([0xff, 0xc0, 0x80, 0]);
  }
  return { bytes, offerId: undefined };
}

const NAMES = [
  "time",
  "batch",
  "exchange",
  "fiat",
  "asset",
  "side",
  "page",
  "rows",
  "payTypes",
  "body",
  "offers",
  "response",
  "__proto__",
];

function spoil(dice: Dice, fields: [string, Tree][]): void {
  const value = dice.next() < 0.1
    ? `{"toString":1,"valueOf":2}`
    : dice.next() < 0.1
    ? `["${"x".repeat(300)}",{"toString":null}]`
    : junk(dice);
  const chance = dice.next();
  const at = Math.floor(dice.next() * fields.length);
  const field = fields[at];
  if (chance < 0.35 && field !== undefined) field[1] = value;
  else if (chance < 0.5) fields.splice(at, 1);
  else if (chance < 0.65 && field !== undefined) fields.push([field[0], copyOf(field[1])]);
  else fields.push([JSON.stringify(NAMES[Math.floor(dice.next() * NAMES.length)]), value]);
}

async function broken(
  sql: SqlFixture,
  database: Database,
  path: string,
  lines: readonly Line[],
  packing: string,
  seen?: Tally,
): Promise<string | undefined> {
  const parts = lines.flatMap(({ bytes }) => [bytes, new Uint8Array([10])]);
  if (packing === "no end") parts.pop();
  const plain = new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
  const packed = packing.startsWith("gzip") ? new Uint8Array(gzipSync(plain)) : plain;
  await Deno.writeFile(
    path,
    packing === "gzip cut" ? packed.subarray(0, packed.length * 0.7) : packed,
  );

  const problems: LineProblem[] = [];
  const batches: ImportedBatch[] = [];
  const began = performance.now();
  const store = await ImportStore.begin(database, "fuzz", [path]);
  let read: { readonly lines: number };
  try {
    read = await importFiles(store, {
      files: [path],
      exchanges: EXCHANGES,
      windowMinutes: 0,
      isDryRun: false,
      signal: new AbortController().signal,
      observer: {
        reading: () => {},
        loading: () => {},
        leftOut: (problem) => void problems.push(problem),
        imported: (batch) => void batches.push(batch),
      },
    });
  } catch (error) {
    return `the import dies: ${
      error instanceof Error ? error.message.replaceAll(/\d+/g, "…").slice(0, 150) : "?"
    }`;
  } finally {
    await store.end();
  }
  if ((performance.now() - began) / 1000 > SLOWEST_SECONDS) return "too slow";

  const leftOut = new Set(problems.map(({ line }) => line));
  const imported = batches.reduce((sum, batch) => sum + batch.pagesStored + batch.pagesThere, 0);
  const named = problems.filter(({ problem }) => !problem.startsWith("the file cannot be read on"))
    .reduce((sum, problem) => sum + problem.lines, 0);
  seen?.add("lines imported", imported);
  seen?.add("lines left out", named);
  for (const batch of batches) seen?.add(`batch ${batch.outcome} ${batch.status ?? ""}`);
  for (const { problem } of problems) {
    seen?.add(`left out: ${problem.replaceAll(/[\d"].*/g, "…").slice(0, 60)}`);
  }
  if (imported + named !== read.lines) return "a line is neither imported nor named";
  for (const { problem } of problems) {
    // deno-lint-ignore no-control-regex
    if (/[\x00-\x1f\x7f]/.test(problem) || problem.length > 1000) {
      return "a reason of more than a line";
    }
  }
  for (const batch of batches) {
    if (batch.status === "failed" && batch.pagesStored > 0) {
      return `a batch fails: ${batch.errorSummary?.replaceAll(/\d+/g, "…")}`;
    }
  }
  const left = Number(await sql.value("select count(*) from p2p.stg_import_pages"));
  if (left > 0) return "pages are left in stg_import_pages";
  if (packing === "gzip cut") return undefined;
  const facts = new Set(
    (await sql.values("select offer_external_id from p2p.fact_offers")).map(String),
  );
  for (const [index, { offerId }] of lines.entries()) {
    if (offerId !== undefined && (leftOut.has(index + 1) || !facts.has(offerId))) {
      return "a whole line is lost";
    }
  }
  return undefined;
}
