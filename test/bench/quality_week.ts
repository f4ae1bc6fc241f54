// deno-lint-ignore-file no-console
// `deno run -A test/bench/quality_week.ts [hours] [world|book]`: one normal week of batches, once as a world of 72 books and once as
// a filter on a single one, and how often each quality rule fires in it. It should be never.
import { Database } from "../../src/database/connection.ts";
import { migrate } from "../../src/database/migrate.ts";
import { openCluster } from "../../src/embedded/cluster.ts";
import { configureLog } from "../../src/log.ts";
import { liveNormally, ONE_BOOK, ruleRates, WORLD } from "../support/normal_week.ts";

const WEEK_HOURS = 168;

await configureLog("warning", "text");
const folder = await Deno.makeTempDir({ prefix: "p2p-week-" });
await Deno.chmod(folder, 0o755);
try {
  const cluster = await openCluster({ dataDir: `${folder}/data`, purpose: "quality week" });
  try {
    for (const [title, books] of [["one book", ONE_BOOK], ["a world", WORLD]] as const) {
      if (!title.endsWith(Deno.args[1] ?? "")) continue;
      const name = title.replace(" ", "_");
      await using admin = new Database(cluster.url, { applicationName: "week", connections: 1 });
      await admin.run(`create database ${name}`, [], 60);
      const url = new URL(cluster.url);
      url.pathname = `/${name}`;
      await using database = new Database(url.href, { applicationName: "week", connections: 1 });
      await migrate(database);
      const begun = performance.now();
      await liveNormally(database, {
        books,
        hours: Number(Deno.args[0] ?? WEEK_HOURS),
        minutesBetweenBatches: 10,
        onBatch: (done, of) => {
          if (done % 100 === 0) console.error(`${title}: ${done} of ${of} batches`);
        },
      });
      const offers = await database.run("select count(*) as n from p2p.fact_offers", [], 60);
      console.log(
        `\n${title}: ${books.length} books, ${offers[0]?.["n"]} offers, ` +
          `${((performance.now() - begun) / 1000).toFixed(0)} s`,
      );
      console.table((await ruleRates(database)).map((row) => ({ ...row })));
      console.log("books of 130 to 300 ads, half-hour steps:");
      console.table(
        (await database.run("select * from week.likeness()", [], 120)).map((row) => ({ ...row })),
      );
      console.log("shape events:");
      console.table(
        (await database.run(
          "select event, path, json_type, count(*)::integer from p2p.ops_shape_events group by 1, 2, 3",
          [],
          60,
        )).map((row) => ({ ...row })),
      );
    }
  } finally {
    await cluster.close();
  }
} finally {
  await Deno.remove(folder, { recursive: true });
}
