// What the worker tells while the page is open. The clock is the worker's: that of a phone may be off.

/** The worker tells something every ten seconds. */
const SILENCE_MS = 25_000;
const AGAIN_MS = 5_000;

let ahead = 0;

/** Seconds since 1970, by the worker's clock. */
export function now() {
  return Date.now() / 1000 - ahead;
}

/**
 * Listens until the page is closed.
 * @param on.overview the state; on.outage {since, reason}; on.lost(since): the worker is silent; on.back
 */
export function listen(on) {
  let source;
  let heardAt = Date.now();
  let isLost = false;

  const heard = () => {
    heardAt = Date.now();
    if (isLost) on.back();
    isLost = false;
  };
  const lose = () => {
    if (!isLost) on.lost(heardAt / 1000 - ahead);
    isLost = true;
  };
  const open = () => {
    source?.close();
    source = new EventSource("/events");
    source.addEventListener("beat", ({ data }) => {
      ahead = Date.now() / 1000 - Number(data);
      heard();
    });
    source.addEventListener("overview", ({ data }) => on.overview(JSON.parse(data)));
    source.addEventListener("outage", ({ data }) => on.outage(JSON.parse(data)));
    const own = source;
    source.addEventListener("error", async () => {
      if (own.readyState !== EventSource.CLOSED) return lose(); // it opens itself again
      // No stream, but an answer (503): too many pages follow already, and this one asks now and then.
      const told = await fetchJson("/api/overview");
      if (told === undefined) lose();
      else {
        heard();
        on.overview(told);
      }
      setTimeout(open, AGAIN_MS);
    });
  };
  open();
  setInterval(() => {
    if (Date.now() - heardAt < SILENCE_MS) return;
    lose();
    heardAt = Date.now(); // not again at once
    open();
  }, 2_000);
}

/**
 * A JSON document of the worker; undefined where it has none now.
 * @param signal gives up
 */
export async function fetchJson(path, signal) {
  try {
    const response = await fetch(path, signal === undefined ? {} : { signal });
    return response.ok ? await response.json() : undefined;
  } catch {
    return undefined;
  }
}
