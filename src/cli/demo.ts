import { resolve } from "node:path";
import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { command, constant, option } from "@optique/core/primitives";
import { integer } from "@optique/core/valueparser";
import { type Config, loadConfig } from "../config.ts";
import { DEADLINES } from "../deadlines.ts";
import { migrate } from "../database/migrate.ts";
import { Database } from "../database/connection.ts";
import { defaultDataDir, startDetached } from "../embedded/cluster.ts";
import { EXIT, type ExitCode } from "../errors.ts";
import { startSimulator } from "../simulator/server.ts";
import { configuredExchanges, readEnvironment, untilStopped } from "./environment.ts";
import { batchLine } from "./batch_summary.ts";
import { exitCodeOf, Extraction, type FinishedBatch } from "./extraction.ts";
import { examples } from "./help.ts";
import { renderRecords } from "./table.ts";
import { print, style, tell } from "./terminal.ts";

export const demoCommand = command(
  "demo",
  object({
    command: constant("demo"),
    batches: withDefault(
      option("--batches", integer({ min: 1, max: 100 }), {
        description: message`Batches, ten simulated minutes apart.`,
      }),
      3,
    ),
    offers: withDefault(
      option("--offers", integer({ min: 100, max: 1_000_000 }), {
        description: message`About so many in the whole market.`,
      }),
      50_000,
    ),
  }),
  {
    brief: message`Everything visible within a minute, without internet.`,
    description:
      message`Starts the embedded PostgreSQL and a simulated exchange, fetches a few batches of a moving market, and shows what is in the database then. The database keeps running, so that you can look for yourself; it has a folder of its own, apart from real data.`,
    footer: examples(["p2p-ingest demo", "three batches of 50,000 offers"]),
  },
);

const MINUTES_BETWEEN_BATCHES = 10;

export async function demo(args: { batches: number; offers: number }): Promise<ExitCode> {
  const { DATA_DIR } = await readEnvironment();
  const { bold, dim } = style(Deno.stdout);
  using signal = untilStopped();
  // Beside the folder of real data, never inside it.
  const dataDir = `${resolve(DATA_DIR ?? defaultDataDir())}-demo`;
  const cluster = await startDetached({ dataDir, purpose: "demo", signal });
  await using database = new Database(cluster.url, { applicationName: "p2p-ingest demo" });
  await migrate(database);

  let minutes = 0;
  const simulator = await startSimulator({
    offers: args.offers,
    now: () => Date.now() + minutes * 60_000,
    gzip: false, // both ends share two cores here
    signal,
  });
  const config = demoConfig(simulator.url);
  await using extraction = await Extraction.begin({
    config,
    database,
    exchanges: configuredExchanges(config),
    purpose: "once",
    signal,
    showProgress: true,
  });
  let finished: FinishedBatch | undefined;
  for (let batch = 1; batch <= args.batches && !signal.aborted; batch++) {
    finished = await extraction.once();
    tell(batchLine(finished.batch));
    minutes += MINUTES_BETWEEN_BATCHES;
  }
  await simulator.close();

  for (const { title, statement } of SHOWN) {
    print(`\n${bold(title)}\n${dim(statement)}\n`);
    print(await tableOf(database, statement));
  }
  const environment = `DATA_DIR=${dataDir}`;
  const command = Deno.build.standalone
    ? "p2p-ingest"
    : `npx -y deno@${Deno.version.deno} task p2p`;
  print(`
${bold("Look for yourself")}
  ${cluster.psqlCommand}
  ${environment} ${command} query "select * from p2p.v_price_history limit 5"
${bold("Stop the database, or throw it away")}
  ${environment} ${command} db stop
  rm -r ${dataDir}
`);
  return finished === undefined ? EXIT.batchIncomplete : exitCodeOf(finished);
}

/** Nothing of what is configured here: other exchanges would be asked without a limit, and people alerted. */
function demoConfig(simulatorUrl: string): Config {
  return loadConfig({
    BINANCE_BASE_URL: simulatorUrl,
    INITIAL_RATE_LIMIT: "1000000",
    MAX_RATE_LIMIT: "1000000",
    RATE_LIMIT_BURST: "1000",
  });
}

const SHOWN = [
  {
    title: "What is in the database",
    statement: "select table_name, rows_about, size from p2p.table_sizes limit 8",
  },
  {
    title: "The largest markets now",
    statement:
      "select fiat_code, crypto_symbol, trade_type, best_close as best, round(median_close, 2) as median, " +
      "max_offers as offers, round(avg_volume) as volume, round(avg_spread_percentage, 2) as spread_percent " +
      "from p2p.market_hourly where time_bucket = (select max(time_bucket) from p2p.market_hourly) " +
      "order by max_offers desc limit 6",
  },
  {
    title: "The best offers for who buys USDT with VES",
    statement:
      "select advertiser, price, available_amount, min_limit, max_limit, payment_methods[1:2] as pays_with " +
      "from p2p.mv_latest_market_state " +
      "where fiat_code = 'VES' and crypto_symbol = 'USDT' and trade_type = 'BUY' order by price limit 5",
  },
] as const;

async function tableOf(database: Database, statement: string): Promise<string> {
  const rows = await database.run(statement, [], DEADLINES.statementSeconds);
  return renderRecords(Object.keys(rows[0] ?? {}), rows, style(Deno.stdout));
}
