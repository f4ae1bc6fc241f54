import { object, or } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { multiple } from "@optique/core/modifiers";
import { argument, command, constant } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import {
  describeOwner,
  findRunning,
  openCluster,
  startDetached,
  stopCluster,
} from "../embedded/cluster.ts";
import type { Config } from "../config.ts";
import { ConfigurationError, DatabaseError, EXIT, type ExitCode } from "../errors.ts";
import { readEnvironment } from "./environment.ts";
import { examples } from "./help.ts";
import { print, tell } from "./terminal.ts";

export const dbCommand = command(
  "db",
  or(
    command(
      "psql",
      object({
        command: constant("db"),
        action: constant("psql"),
        arguments: multiple(
          argument(string({ metavar: "ARGUMENT" }), { description: message`For psql, after --.` }),
        ),
      }),
      { brief: message`Open psql, starting the database for as long as that takes.` },
    ),
    command("url", object({ command: constant("db"), action: constant("url") }), {
      brief: message`Print the URL with its password, for other programs.`,
    }),
    command("start", object({ command: constant("db"), action: constant("start") }), {
      brief: message`Start it and leave it running.`,
    }),
    command("stop", object({ command: constant("db"), action: constant("stop") }), {
      brief: message`Stop it.`,
    }),
  ),
  {
    brief: message`Reach the embedded PostgreSQL.`,
    description:
      message`The embedded PostgreSQL runs while a command needs it. These reach it while and after the worker runs. It listens on 127.0.0.1 and a unix socket only.`,
    footer: examples(
      ["p2p-ingest db psql", "look around"],
      ["p2p-ingest db psql -- -c 'select count(*) from p2p.fact_offers'", "one statement"],
      ["p2p-ingest db start && psql $(p2p-ingest db url)", "keep it running"],
      ["p2p-ingest db stop", "until it is needed again"],
    ),
  },
);

export type DbArguments =
  | { readonly action: "psql"; readonly arguments: readonly string[] }
  | { readonly action: "url" | "start" | "stop" };

export async function db(args: DbArguments): Promise<ExitCode> {
  const config = await readEnvironment();
  if (config.DATABASE_URL !== undefined) {
    throw new ConfigurationError(
      "DATABASE_URL is set: the embedded PostgreSQL is not in use",
      "psql $DATABASE_URL",
    );
  }
  switch (args.action) {
    case "psql":
      return await psql(config, args.arguments);
    case "url":
      return await url(config);
    case "start":
      return await start(config);
    case "stop":
      tell(await stopCluster(config.DATA_DIR) ? "stopped\n" : "it was not running\n");
      return EXIT.done;
  }
}

async function psql(config: Config, extra: readonly string[]): Promise<ExitCode> {
  const cluster = await openCluster({ dataDir: config.DATA_DIR, purpose: "db psql" });
  // Ctrl-C in psql cancels a statement; it must not end us before psql.
  const ignore = () => {};
  Deno.addSignalListener("SIGINT", ignore);
  try {
    const child = new Deno.Command("psql", { args: [...cluster.psqlArguments, ...extra] }).spawn();
    const { code } = await child.status;
    return code as ExitCode;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new ConfigurationError(
      "there is no psql on this machine",
      'p2p-ingest query "select …" needs none; on Debian: apt-get install postgresql-client',
    );
  } finally {
    Deno.removeSignalListener("SIGINT", ignore);
    await cluster.close();
  }
}

async function url(config: Config): Promise<ExitCode> {
  const running = await findRunning(config.DATA_DIR);
  if (running === undefined) {
    throw new DatabaseError("the embedded PostgreSQL is not running", "p2p-ingest db start");
  }
  print(`${running.url}\n`);
  return EXIT.done;
}

async function start(config: Config): Promise<ExitCode> {
  const running = await startDetached({ dataDir: config.DATA_DIR, purpose: "db start" });
  if (running.owner !== undefined) {
    tell(`it is held by ${describeOwner(running.owner)}, and ends with that process\n`);
  } else {
    tell(`running since ${running.startedAt.toISOString()}, until: p2p-ingest db stop\n`);
  }
  print(`${running.psqlCommand}\n`);
  return EXIT.done;
}
