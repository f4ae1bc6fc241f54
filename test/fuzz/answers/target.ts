import { Dice } from "../../support/random.ts";
import { type Finding, shrink } from "../shrink.ts";
import { type FuzzOptions, type FuzzReport, Tally } from "../target.ts";
import { BaseOffers, EXCHANGES, type Home } from "./base.ts";
import { Watchdog } from "../watchdog.ts";
import { FuzzDatabase, textOfAnswers } from "./batch.ts";
import { type Answer, makeAnswer } from "./mutate.ts";
import { type Broken, judge } from "./oracle.ts";

const BATCH = 2000;
const PAGES_A_MARKET = 8;
/** A database that gets larger gets slower. */
const BATCHES_A_DATABASE = 25;
const MOST_FINDINGS = 20;

/** Answers of both exchanges through reader, store_page and load_batch. */
export async function fuzzAnswers({ cases, seed, say }: FuzzOptions): Promise<FuzzReport> {
  using watchdog = new Watchdog();
  const base = await BaseOffers.read(Deno.env.get("CAPTURES_DIR"));
  const findings = new Map<string, Finding>();
  const seen = new Tally();
  const began = performance.now();
  let done = 0;
  for (let batch = 0; done < cases && findings.size < MOST_FINDINGS;) {
    await using database = await FuzzDatabase.create(watchdog);
    for (let i = 0; i < BATCHES_A_DATABASE && done < cases; i++, batch++) {
      const answers = makeBatch(base, seed, batch, Math.min(BATCH, cases - done));
      const outcome = await database.run(answers);
      done += answers.length;
      seen.add(`batch ${outcome.status}`);
      seen.add("offers", outcome.facts.length);
      seen.add("rejected", outcome.rejected.length);
      for (const became of outcome.pages.values()) seen.add(`page ${became}`);
      for (const row of outcome.rejected) seen.add(`rejected: ${row["reason"]}`);
      const news = new Map(judge(answers, outcome).map((broken) => [broken.what, broken]));
      for (const [what, broken] of news) {
        if (findings.has(what) || findings.size >= MOST_FINDINGS) continue;
        say(`batch ${batch}: ${what}; looking for the smallest input`);
        const finding = await smallest(answers, broken, watchdog);
        findings.set(what, finding);
        say(`${finding.detail.slice(0, 500)}\n${finding.input.slice(0, 1500)}`);
      }
      if (batch % 5 === 0 || done >= cases) {
        const perSecond = done / (performance.now() - began) * 1000;
        say(
          `${done} answers, ${perSecond.toFixed(0)}/s, ${
            seen.counts["offers"] ?? 0
          } offers, ${findings.size} findings`,
        );
      }
    }
  }
  return { cases: done, findings: [...findings.values()], seen: seen.counts };
}

function makeBatch(base: BaseOffers, seed: number, batch: number, count: number): Answer[] {
  const dice = new Dice(Math.imul(seed, 7919) + batch);
  return Array.from({ length: count }, (_, i) => {
    const book = Math.floor(i / PAGES_A_MARKET);
    const home: Home = {
      exchange: EXCHANGES[book % 2] ?? "binance",
      fiat: `F${Math.floor(book / 4) % 40}`,
      asset: `A${Math.floor(book / 160)}`,
      side: book % 4 < 2 ? "BUY" : "SELL",
    };
    return makeAnswer(dice, base, home, i % PAGES_A_MARKET + 1, batch * BATCH + i);
  });
}

/** Fewer answers, then less of the body of the one that is left. */
async function smallest(
  answers: readonly Answer[],
  broken: Broken,
  watchdog: Watchdog,
): Promise<Finding> {
  await using database = await FuzzDatabase.create(watchdog);
  const fails = async (some: readonly Answer[]): Promise<boolean> => {
    if (some.length === 0) return false;
    return judge(some, await database.run(some)).some(({ what }) => what === broken.what);
  };
  const { answer } = broken;
  const few = answer !== undefined && await fails([answer])
    ? [answer]
    : await shrink(answers, fails, 40);
  const [only, ...others] = few;
  let left = few;
  if (only !== undefined && others.length === 0 && !only.onWire) {
    const parts = new TextDecoder().decode(only.body).match(/"(?:[^"\\]|\\.)*"|[-\w.+]+|[^]/gu) ??
      [];
    const withBody = (text: readonly string[]): Answer => ({
      ...only,
      body: new TextEncoder().encode(text.join("")),
      untouched: [],
    });
    if (parts.length < 20_000 && await fails([withBody(parts)])) {
      left = [withBody(await shrink(parts, (some) => fails([withBody(some)]), 120))];
    }
  }
  return { what: broken.what, detail: broken.detail, input: textOfAnswers(left) };
}
