// How often the database is asked for the open pages.
import assert from "node:assert/strict";
import { PageEvents } from "../../src/serve/page_events.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

Deno.test("one look for all pages, also where one is loaded again and again; none without a page", async () => {
  const clock = new FakeClock();
  const over = new AbortController();
  let looks = 0;
  const look = () => Promise.resolve({ event: "overview", data: String(++looks) } as const);
  const events = new PageEvents(look, clock, over.signal);
  for (let reload = 0; reload < 5; reload++) {
    const reader = events.stream()?.getReader();
    await settle();
    assert.ok(await reader?.read());
    await reader?.cancel();
  }
  const pages = [events.stream(), events.stream()];
  assert.equal(events.open, 2);
  await clock.advance(15_000);
  assert.equal(looks, 11, "each 1.5 s");
  await Promise.all(pages.map((page) => page?.cancel()));
  await clock.advance(15_000);
  assert.equal(looks, 11);

  const last = events.stream();
  await settle();
  assert.equal(looks, 12, "it begins again");
  over.abort();
  await settle();
  await last?.cancel();
});
