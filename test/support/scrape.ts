/** What Prometheus would read. */
import assert from "node:assert/strict";
import { skipLoudly } from "./embedded.ts";

/** Series as they stand, e.g. `p2p_api_retries_total{exchange="binance"}`, with their values. */
export type Scrape = ReadonlyMap<string, number>;

export async function scrape(url: string | undefined): Promise<Scrape> {
  return parseScrape(await scrapeText(url));
}

export async function scrapeText(url: string | undefined): Promise<string> {
  const response = await fetch(`${url}/metrics`);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  assert.match(response.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
  return text;
}

export function parseScrape(text: string): Scrape {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => {
    const cut = line.lastIndexOf(" ");
    return [line.slice(0, cut), Number(line.slice(cut + 1).replace("Inf", "Infinity"))];
  }));
}

/** The sum of all series of a metric that have these labels. */
export function sumOf(found: Scrape, metric: string, ...labels: readonly string[]): number {
  return [...found]
    .filter(([name]) => name.split("{")[0] === metric && labels.every((l) => name.includes(l)))
    .reduce((sum, [, value]) => sum + value, 0);
}

/** Lets Prometheus's own tool look at it. */
export async function checkWithPromtool(text: string): Promise<void> {
  try {
    const child = new Deno.Command("promtool", {
      args: ["check", "metrics"],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
    const { stdout, stderr } = await child.output();
    assert.equal(new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr), "");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    skipLoudly("the scrape by promtool: apt-get install prometheus");
  }
}
