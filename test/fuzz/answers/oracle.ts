/** Compares what became of answers with what they say. */
import { gunzipSync } from "node:zlib";
import type { Row } from "../../../src/database/connection.ts";
import { LONGEST_NICKNAME } from "../../support/storable.ts";
import { nameOf, type Outcome } from "./batch.ts";
import type { Answer } from "./mutate.ts";
import { type Offer, readAnswer, type ReadItem } from "./reading.ts";

/** A broken promise; `answer` where it is one's own. */
export interface Broken {
  readonly what: string;
  readonly detail: string;
  readonly answer: Answer | undefined;
}

export function judge(answers: readonly Answer[], outcome: Outcome): Broken[] {
  const broken: Broken[] = [];
  const say = (what: string, answer: Answer | undefined, detail = ""): void => {
    broken.push({ what, answer, detail });
  };
  if (outcome.thrown !== undefined) {
    say("the worker dies of an answer", undefined, outcome.thrown);
    return broken;
  }
  for (const { answers: some, what } of outcome.slow) say("too slow", some[0], what);
  for (const step of outcome.failedSteps) {
    say(`a step fails: ${step.replaceAll(/\d+|"[^"]*"/g, "…")}`, undefined, step);
  }
  if (outcome.status === "failed" && outcome.failedSteps.length > 0) return broken;
  if (!["completed", "partial", "failed"].includes(outcome.status)) {
    say(`a batch ends ${outcome.status}`, undefined, outcome.summary);
  }

  const facts = Map.groupBy(outcome.facts, (row) => `${row["exchange"]} ${row["id"]}`);
  const factsOn = Map.groupBy(outcome.facts, placeOf);
  const rejectedOn = Map.groupBy(outcome.rejected, placeOf);
  const errorsOn = Map.groupBy(outcome.errors, placeOf);
  const readings = new Map(answers.map((answer) => [answer, readAnswerOf(answer)]));
  const idsOf = (answer: Answer): string[] =>
    (readings.get(answer)?.items ?? []).flatMap(({ id }) =>
      id === undefined ? [] : [`${answer.exchange} ${id}`]
    );
  const stored = answers.filter((answer) => outcome.pages.get(answer) === "stored");
  const timesOf = new Map<string, number>();
  const factsOf = Map.groupBy(outcome.facts, (row) => `${row["exchange"]} ${row["advertiser"]}`);
  for (const answer of stored) {
    for (const id of idsOf(answer)) timesOf.set(id, (timesOf.get(id) ?? 0) + 1);
  }
  // An id that this oracle cannot read on another page (a number of 60 digits in a very deep document) may be the same.
  const placesOfOdd = new Set(
    stored.filter((answer) => readings.get(answer)?.items.some(({ id }) => id === undefined))
      .map((answer) => `${answer.exchange} ${nameOf(answer)} ${answer.page}`),
  );
  const isRepeated = (id: string, place: string): boolean => {
    const winner = placeOf(facts.get(id)?.[0] ?? {});
    return (timesOf.get(id) ?? 0) > 1 || winner !== place && placesOfOdd.has(winner);
  };

  let itemsInAll = 0;
  for (const answer of answers) {
    const page = readings.get(answer);
    const became = outcome.pages.get(answer) ?? "nothing";
    const place = `${answer.exchange} ${nameOf(answer)} ${answer.page}`;
    const errors = errorsOn.get(place) ?? [];
    if (became !== "stored") {
      if (errors.length !== 1) {
        say("a lost page is not in the ledger once", answer, `${became}: ${errors.length}`);
      }
      if ((factsOn.get(place) ?? []).length > 0) say("a lost page has facts", answer, became);
      const isExcused = became === "unreadable" && page?.mayBeUnreadable;
      if (page !== undefined && !isExcused && !isTooLarge(answer)) {
        say(`a readable page is ${became}`, answer);
      }
      continue;
    }
    if (errors.length > 0) {
      say("a stored page is in the ledger as lost", answer, Deno.inspect(errors));
    }
    if (page === undefined) {
      say("what is no page is stored as one", answer);
      continue;
    }
    itemsInAll += page.items.length;
    const rejected = rejectedOn.get(place) ?? [];
    const ours = factsOn.get(place) ?? [];
    const known = new Set(idsOf(answer));
    const odd = page.items.filter(({ id }) => id === undefined).length;
    const repeated = idsOf(answer).filter((id) => isRepeated(id, place)).length;
    const missing = page.items.length - rejected.length - ours.length;
    if (missing < 0 || missing > repeated + odd) {
      say(
        "an item is not accounted for once",
        answer,
        `${page.items.length} items, ${rejected.length} rejected, ${ours.length} facts`,
      );
    }
    for (const fact of ours) {
      if (!known.has(`${fact["exchange"]} ${fact["id"]}`) && odd === 0) {
        say("a fact that nobody sent", answer, Deno.inspect(fact));
      }
    }
    for (const item of page.items) checkItem(item, answer, rejected, page.items.indexOf(item));
    // What was not touched must be an offer to this oracle, too: else it would see nothing.
    const offers = new Set(
      page.items.flatMap(({ id, offer }) => id !== undefined && offer !== undefined ? [id] : []),
    );
    const there = new Set(page.items.map(({ id }) => id));
    for (const id of answer.untouched) {
      if (there.has(id) && !offers.has(id)) {
        say("the oracle takes an untouched offer for none", answer, id);
      }
    }
  }
  if (outcome.extracted !== itemsInAll) {
    say("total_offers_extracted is wrong", undefined, `${outcome.extracted} of ${itemsInAll}`);
  }
  const left = outcome.extracted - outcome.facts.length - outcome.rejected.length;
  if (left !== outcome.duplicates) {
    say("total_offers_duplicate is wrong", undefined, `${outcome.duplicates} of ${left}`);
  }
  return broken;

  function checkItem(
    { id, offer }: ReadItem,
    answer: Answer,
    rejected: readonly Row[],
    number: number,
  ): void {
    if (id === undefined || offer === undefined) return;
    const [fact, ...others] = facts.get(`${answer.exchange} ${id}`) ?? [];
    if (fact === undefined) {
      const reason = rejected.find((row) => row["item"] === number)?.["reason"];
      return say(
        reason === undefined ? "a valid offer is gone" : `a valid offer is rejected: ${reason}`,
        answer,
        `${id} ${Deno.inspect(offer)}`,
      );
    }
    if (others.length > 0) say("an offer is there twice", answer, id);
    const place = `${answer.exchange} ${nameOf(answer)} ${answer.page}`;
    if (isRepeated(`${answer.exchange} ${id}`, place)) return;
    const wrong = differences(
      fact,
      offer,
      answer,
      (factsOf.get(`${answer.exchange} ${offer.advertiser}`)?.length ?? 0) > 1,
    );
    if (wrong !== "") {
      say(`an offer has another ${wrong}`, answer, `${Deno.inspect(fact)}\n${Deno.inspect(offer)}`);
    }
  }
}

function differences(fact: Row, offer: Offer, answer: Answer, isSharedName: boolean): string {
  const methods = offer.methods === undefined ? fact["methods"] : offer.methods;
  const expected: Readonly<Record<string, unknown>> = {
    market: `${answer.exchange} ${nameOf(answer)}`,
    page: answer.page,
    price: offer.price,
    amount: offer.amount,
    min: offer.min,
    max: offer.max,
    advertiser: offer.advertiser,
    methods: methods,
    ...(offer.nickname === undefined || isSharedName
      ? {}
      : { nickname: [...offer.nickname].slice(0, LONGEST_NICKNAME).join("") }),
  };
  return Object.entries(expected)
    .filter(([name, value]) => JSON.stringify(fact[name]) !== JSON.stringify(value))
    .map(([name]) => name)
    .join(", ");
}

const LIMIT_BYTES = 8 * 1024 * 1024;

function isTooLarge({ body, headers }: Answer): boolean {
  return body.byteLength > LIMIT_BYTES &&
    (headers["content-encoding"] ?? "identity") === "identity";
}

/** On the wire it is what comes out of its encoding. */
function readAnswerOf(answer: Answer): ReturnType<typeof readAnswer> {
  const isPacked = answer.onWire && answer.done.includes("on the wire: gzip");
  // An encoding that fetch does not know is none to it.
  const isPlain = answer.done.some((what) => /^on the wire: (unknown|deflate)$/.test(what));
  if (answer.onWire && !isPacked && !isPlain) return undefined;
  return isPacked ? readAnswer({ ...answer, body: unpacked(answer.body) }) : readAnswer(answer);
}

function placeOf(row: Row): string {
  return `${row["market"]} ${row["page"]}`;
}

function unpacked(body: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(gunzipSync(body));
}
