/** What the tests of the simulator's faults share. */
import assert from "node:assert/strict";
import { PATH } from "../../src/simulator/answers.ts";
import type { Fault } from "../../src/simulator/fault.ts";
import { type Simulator, startSimulator } from "../../src/simulator/server.ts";

export const NOON = 1_800_000_000_000;
const BODY = JSON.stringify({
  fiat: "VES",
  asset: "USDT",
  tradeType: "SELL",
  page: 1,
  rows: 20,
});

/** Runs `body` against a simulator on which every request meets the fault. */
export async function withFault(
  fault: Fault | undefined,
  body: (simulator: Simulator) => Promise<void>,
): Promise<void> {
  const simulator = await startSimulator({ offers: 3_000, now: () => NOON, faultFor: () => fault });
  try {
    await body(simulator);
    if (fault !== undefined) assert.ok((simulator.stats.byFault[fault.kind] ?? 0) > 0);
  } finally {
    await simulator.close();
  }
}

export function ask(simulator: Simulator, signal?: AbortSignal): Promise<Response> {
  const init = signal === undefined ? {} : { signal };
  return fetch(simulator.url + PATH.search, { method: "POST", body: BODY, ...init });
}

/** What comes over a bare connection, until the other end closes it. */
export async function askRaw(simulator: Simulator): Promise<string> {
  const { hostname, port } = new URL(simulator.url);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  const request =
    `POST ${PATH.search} HTTP/1.1\r\nhost: x\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`;
  await connection.write(new TextEncoder().encode(request));
  let text = "";
  const buffer = new Uint8Array(65_536);
  const decoder = new TextDecoder();
  for (;;) {
    const count = await connection.read(buffer).catch(() => null);
    if (count === null) return text;
    text += decoder.decode(buffer.subarray(0, count), { stream: true });
  }
}
