import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { command, constant } from "@optique/core/primitives";
import type { Config } from "../config.ts";
import type { Database } from "../database/connection.ts";
import { isUpToDate, planMigration } from "../database/migration_plan.ts";
import { tlsOf } from "../database/tls.ts";
import { DEADLINES } from "../deadlines.ts";
import { defaultDataDir } from "../embedded/cluster.ts";
import { asKnown, describeRequest, EXIT, type ExitCode, P2pError } from "../errors.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { readBody } from "../extract/body.ts";
import { VERSION } from "../version.ts";
import { examineEnvironment } from "./doctor_environment.ts";
import { examineDisk, examinePort } from "./doctor_service.ts";
import {
  configuredExchanges,
  givenVariables,
  openDatabase,
  readEnvironment,
} from "./environment.ts";
import { bad, type Finding, ok, warning } from "./finding.ts";
import { examples, jsonFlag } from "./help.ts";
import { print, style, tell } from "./terminal.ts";

export const doctorCommand = command(
  "doctor",
  object({ command: constant("doctor"), json: jsonFlag() }),
  {
    brief: message`What is wrong, and the command that mends it.`,
    description:
      message`Looks at configuration, secrets, database, server settings, privileges, drift of the live SQL, clocks, batches, workers, the port and the exchange (one request). Changes nothing. Exit 1 if anything wants mending; warnings alone end with 0.`,
    footer: examples(
      ["p2p-ingest doctor", "before the service is started, and when something is odd"],
      ["p2p-ingest doctor --json", "for scripts"],
    ),
  },
);

/** Clocks further apart than this make times of pages and batches contradict each other. */
const CLOCK_SECONDS = 5;

export async function doctor(args: { json: boolean }): Promise<ExitCode> {
  const findings: Finding[] = [];
  const config = await attempt(findings, "configuration", readEnvironment);
  if (config !== undefined) {
    findings.push(
      ok("configuration", `version ${VERSION}, every variable is valid`),
      ...examineEnvironment(config, givenVariables()),
    );
    await attempt(findings, "database", () => examineDatabase(config, findings));
    for (const exchange of configuredExchanges(config)) {
      findings.push(await examineExchange(exchange, config));
    }
  }
  if (args.json) print(JSON.stringify(findings) + "\n");
  else printFindings(findings);
  return findings.some(({ state }) => state === "bad") ? EXIT.findings : EXIT.done;
}

/** What fails for a known reason is a finding, not the end. */
async function attempt<T>(
  findings: Finding[],
  topic: string,
  examine: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await examine();
  } catch (thrown) {
    const error = asKnown(thrown);
    if (!(error instanceof P2pError)) throw error;
    findings.push(bad(topic, error.message, error.hint ?? null));
    return undefined;
  }
}

async function examineDatabase(config: Config, findings: Finding[]): Promise<void> {
  await using opened = await openDatabase({ config, purpose: "doctor", schema: "any" });
  const { database, cluster } = opened;
  const began = performance.now();
  const [row] = await database.run(
    `select extract(epoch from clock_timestamp()) as now, s.version as tls
     from (select pg_backend_pid() as pid) as own
     left join pg_stat_ssl s using (pid)`,
    [],
    DEADLINES.statementSeconds,
  );
  const milliseconds = performance.now() - began;
  const kind = cluster === undefined ? encryption(database.url, row?.["tls"]) : "embedded";
  findings.push(
    ok("database", `${database.where}, ${kind}, answers in ${milliseconds.toFixed(0)} ms`),
    clockFinding("database", Number(row?.["now"]) * 1000, milliseconds),
  );
  if (cluster !== undefined) {
    findings.push(await examineDisk(config.DATA_DIR ?? defaultDataDir()));
  }
  if (await examineSchema(database, findings)) {
    const rows = await database.run(
      "select * from p2p.diagnose($1)",
      [config.EXTRACTION_INTERVAL_MINUTES],
      DEADLINES.statementSeconds,
    );
    findings.push(
      ...rows as unknown as Finding[],
      ...await examinePort(config, database),
    );
  }
}

/** @param version of TLS; of a pooler's way to the server, where there is one */
function encryption(url: string, version: unknown): string {
  if (typeof version !== "string") return "not encrypted";
  const { mode } = tlsOf(url);
  const verified = mode.startsWith("verify-") ? "certificate verified" : "certificate not verified";
  return `${version}, ${verified}`;
}

/** @returns whether the schema is of this version, so that its own functions can be asked */
async function examineSchema(database: Database, findings: Finding[]): Promise<boolean> {
  const plan = await planMigration(database);
  const pending = plan.objects.length - plan.missing.length;
  const isCurrent = isUpToDate({
    ...plan,
    objects: pending > 0 ? plan.objects : [],
    isOtherServer: false,
  });
  if (!isCurrent) {
    findings.push(bad(
      "schema",
      (plan.isConversion
        ? `p2p is in plain tables, and ${plan.tierReason} is there: `
        : `p2p is not at version ${VERSION}: `) +
        `${plan.migrations.length} migrations and ${pending} functions and views are to be applied`,
      "p2p-ingest migrate (what it would do: migrate --dry-run)",
    ));
  } else if (plan.isOtherServer) {
    findings.push(warning(
      "schema",
      "PostgreSQL is another version than when the functions were written down, and may word them otherwise",
      "p2p-ingest migrate reads them again",
    ));
  } else findings.push(ok("schema", `p2p is at version ${VERSION}`));
  return isCurrent;
}

/** One page of one market, without retries; and the exchange's clock, for what it sends. */
async function examineExchange(exchange: Exchange, config: Config): Promise<Finding> {
  const request = exchange.searchRequest({ fiat: "USD", asset: "USDT", side: "BUY" }, 1);
  const who = `${exchange.code} at ${new URL(request.url).host}`;
  try {
    const began = performance.now();
    const response = await fetch(request.url, {
      method: request.method,
      headers: { "content-type": "application/json" },
      body: JSON.stringify(request.body),
      redirect: "manual", // as the worker asks
      signal: AbortSignal.timeout(config.REQUEST_TIMEOUT_SECONDS * 1000),
    });
    const { text } = await readBody(response);
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const { items } = exchange.readPage(JSON.parse(text));
    const milliseconds = performance.now() - began;
    const date = response.headers.get("date");
    const clock = date === null
      ? undefined
      : clockFinding(who, Date.parse(date) + 500, milliseconds);
    if (clock?.state === "warning") return { ...clock, topic: "exchange" };
    return ok("exchange", `${who} answers in ${milliseconds.toFixed(0)} ms, ${items} offers`);
  } catch (error) {
    return {
      topic: "exchange",
      state: "bad",
      finding: `${who} gives no usable answer: ${describeRequest(error)}`,
      mend:
        `check ${exchange.code.toUpperCase()}_BASE_URL, proxy and firewall; HTTP 403 or 429 may be a block that ends by itself`,
    };
  }
}

/** @param theirs their time now, milliseconds since 1970 @param slack how long the question took */
function clockFinding(who: string, theirs: number, slack: number): Finding {
  const seconds = (Date.now() - theirs) / 1000;
  const isOff = Math.abs(seconds) - slack / 1000 > CLOCK_SECONDS;
  const where = seconds > 0 ? "ahead of" : "behind";
  return isOff
    ? {
      topic: "clock",
      state: "warning",
      finding: `this machine is ${Math.abs(seconds).toFixed(0)} s ${where} ${who}`,
      mend: "timedatectl set-ntp true, here or there",
    }
    : ok("clock", `less than ${CLOCK_SECONDS} s apart from ${who}`);
}

function printFindings(findings: readonly Finding[]): void {
  const { green, yellow, red, dim } = style(Deno.stdout);
  const mark = { ok: green("✓"), warning: yellow("!"), bad: red("✗") };
  const width = Math.max(...findings.map(({ topic }) => topic.length));
  for (const { topic, state, finding, mend } of findings) {
    print(`${mark[state]} ${topic.padEnd(width)}  ${finding}\n`);
    if (mend !== null) print(`  ${" ".repeat(width)}  ${dim("mend:")} ${mend}\n`);
  }
  const count = (wanted: Finding["state"]) =>
    findings.filter(({ state }) => state === wanted).length;
  tell(`${count("bad")} to mend, ${count("warning")} worth a look\n`);
}
