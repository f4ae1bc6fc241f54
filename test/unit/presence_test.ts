// That a worker lives, as the fleet hears of it.
import assert from "node:assert/strict";
import { LEASE } from "../../src/deadlines.ts";
import { type MarketFilter, parseMarketFilter } from "../../src/exchange/market_filter.ts";
import type { BatchStore } from "../../src/extract/batch_store.ts";
import { Presence, type ServedExchange, workerIdentity } from "../../src/extract/presence.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

const BEAT = LEASE.renewSeconds * 1000;

interface Scene extends AsyncDisposable {
  readonly presence: Presence;
  readonly clock: FakeClock;
  readonly heard: string[];
  readonly exchanges: unknown[];
  isDeaf: boolean;
}

function scene(): Scene {
  const clock = new FakeClock();
  const told = (kind: string) => (doing = "", exchanges = "[]") => {
    if (made.isDeaf) return Promise.reject(new Error("lost"));
    made.heard.push(`${kind} ${doing}`.trim());
    made.exchanges.push(...JSON.parse(exchanges));
    return Promise.resolve();
  };
  const store = { beat: told("beat"), register: told("register"), leave: told("leave") };
  const served = {
    exchange: { code: "binance" },
    fetcher: {
      state: {
        ratePerMinute: 120,
        ceilingPerMinute: undefined,
        pausedSeconds: 2,
        breaker: "open",
        breakerReason: "time-outs",
        breakerMemory: { openings: 1 },
        requests: 5,
        refused: 1,
        retries: 2,
      },
    },
  } as unknown as ServedExchange;
  const filter = parseMarketFilter("VES/*") as MarketFilter;
  const presence = new Presence(store as unknown as BatchStore, [served], filter, clock);
  const made: Scene = {
    presence,
    clock,
    heard: [],
    exchanges: [],
    isDeaf: false,
    [Symbol.asyncDispose]: () => presence[Symbol.asyncDispose](),
  };
  return made;
}

Deno.test("it beats from its registration until it leaves, often enough for its lease", async () => {
  assert(LEASE.renewSeconds * 3 < LEASE.leaseSeconds, "two beats may be lost");
  const { presence, clock, heard } = scene();
  await clock.advance(BEAT * 2);
  assert.deepEqual(heard, [], "nobody is told of a worker that has not begun");
  await presence.register("idle");
  await clock.advance(BEAT * 2);
  await presence.enter("fetching");
  await presence.enter("fetching");
  await clock.advance(BEAT);
  await presence[Symbol.asyncDispose]();
  await clock.advance(BEAT * 3);
  assert.deepEqual(heard, [
    ...["register idle", "beat idle", "beat idle", "beat fetching", "beat fetching", "leave"],
  ]);
});

Deno.test("a beat carries what the exchange allows", async () => {
  await using made = scene();
  await made.presence.register("idle");
  assert.deepEqual(made.exchanges[0], {
    exchange: "binance",
    filter: [{ fiat: "VES", asset: "*" }],
    rate_per_minute: 120,
    ceiling_per_minute: null,
    paused_seconds: 2,
    breaker: "open",
    breaker_reason: "time-outs",
    breaker_memory: { openings: 1 },
    requests: 5,
    refused: 1,
    retries: 2,
  });
});

Deno.test("beats that are not heard end nothing; it is back with the next one", async () => {
  const made = scene();
  await made.presence.register("idle");
  made.isDeaf = true;
  await made.clock.advance(BEAT * 2);
  await made.presence.enter("waiting");
  made.isDeaf = false;
  await made.clock.advance(BEAT);
  await settle();
  assert.deepEqual(made.heard, ["register idle", "beat waiting"]);
  made.isDeaf = true;
  await made.presence[Symbol.asyncDispose]();
});

Deno.test("every process has an id of its own", () => {
  const ids = Array.from({ length: 50 }, () => workerIdentity("vm7", "0.4.0", "run").id);
  assert.equal(new Set(ids).size, 50);
  assert.match(ids[0] ?? "", new RegExp(`^vm7:${Deno.pid}:[0-9a-f]{8}$`));
});
