/** The worker and the exchange of a benchmark, in processes of their own. */
import manifest from "../../deno.json" with { type: "json" };
import { peakMemoryOf } from "./memory.ts";

/** The last lines of `once --json`, as far as benchmarks read them. */
export interface Summary {
  readonly status: string;
  readonly offers_inserted: number;
  readonly pages: number;
  readonly page_bytes: number;
  readonly stage_seconds: { readonly fetching: number; readonly loading: number };
}

/** Twelve fiats, where the whole market has too many pages to wait for each. */
export const SOME_MARKETS =
  "CNY/*,UAH/*,VES/*,JPY/*,DZD/*,BDT/*,AZN/*,TRY/*,QAR/*,CLP/*,LKR/*,IDR/*";

/** The worker as `deno task p2p` runs it, with the limits on V8's memory that the task sets. */
const [, ...WORKER] = manifest.tasks.p2p.command.split(" ");

export interface SimulatorProcess extends AsyncDisposable {
  readonly url: string;
}

/** @param more options of `simulate` */
export async function startSimulator(
  offers: number,
  ...more: string[]
): Promise<SimulatorProcess> {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "main.ts", "simulate", "--port", "0", "--offers", String(offers), ...more],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return {
    url: (value ?? "").trim(),
    [Symbol.asyncDispose]: async () => {
      process.kill("SIGTERM");
      await process.status;
    },
  };
}

/** @throws when the batch did not end `completed`: there is nothing to measure */
export function completed({ status }: Summary): void {
  if (status !== "completed") throw new Error(`the batch ended ${status}`);
}

/** One batch as fast as it goes. */
export async function once(
  databaseUrl: string,
  exchangeUrl: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<{ summary: Summary; peakBytes: number }> {
  const process = new Deno.Command(Deno.execPath(), {
    args: [...WORKER, "once", "--json", "--quiet"],
    env: {
      DATABASE_URL: databaseUrl,
      BINANCE_BASE_URL: exchangeUrl,
      INITIAL_RATE_LIMIT: "1000000",
      MAX_RATE_LIMIT: "1000000",
      RATE_LIMIT_BURST: "1000",
      LOG_LEVEL: "warning",
      ...environment,
    },
    stdout: "piped",
  }).spawn();
  const memory = peakMemoryOf(process);
  const { stdout, code } = await process.output();
  const text = new TextDecoder().decode(stdout);
  if (text === "") throw new Error(`once printed no summary: exit ${code}`);
  return { summary: JSON.parse(text), peakBytes: await memory };
}
