import { object, or } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { optional, withDefault } from "@optique/core/modifiers";
import { command, constant, flag, option } from "@optique/core/primitives";
import { integer, string, uuid } from "@optique/core/valueparser";
import type { Database, Parameter, Row } from "../database/connection.ts";
import { DEADLINES } from "../deadlines.ts";
import { EXIT, type ExitCode, UsageError } from "../errors.ts";
import { openDatabase, readEnvironment, untilStopped } from "./environment.ts";
import { examples, jsonFlag } from "./help.ts";
import { replayQuarantine } from "./quarantine_replay.ts";
import { renderRecords } from "./table.ts";
import { print, style, tell } from "./terminal.ts";
import { time } from "./time_option.ts";

/** Which offers; none of both is all of them. */
const choice = {
  reason: optional(option("-r", "--reason", string({ metavar: "REASON" }), {
    description: message`Only those that were rejected for this reason.`,
  })),
  batch: optional(option("-b", "--batch", uuid({ metavar: "ID", strict: false }), {
    description: message`Only those of this batch.`,
  })),
};

export const quarantineCommand = command(
  "quarantine",
  or(
    command(
      "list",
      object({
        command: constant("quarantine"),
        action: constant("list"),
        json: jsonFlag(),
      }),
      { brief: message`What is in it, by reason.` },
    ),
    command(
      "show",
      object({
        command: constant("quarantine"),
        action: constant("show"),
        ...choice,
        limit: withDefault(
          option("-n", "--limit", integer({ min: 1, max: 100_000, metavar: "N" }), {
            description: message`How many to show at most.`,
          }),
          5,
        ),
        json: jsonFlag(message`Print one JSON list; numbers keep all their digits.`),
      }),
      { brief: message`Offers as the exchange sent them, with their place; newest first.` },
    ),
    command(
      "replay",
      object({
        command: constant("quarantine"),
        action: constant("replay"),
        ...choice,
        since: optional(option("--since", time(), {
          description:
            message`Batches that started then or later: 2026-03-01, 2026-03-01T10:20Z. Without a zone it is UTC.`,
        })),
        until: optional(option("--until", time(), {
          description: message`Batches that started then or earlier.`,
        })),
        json: jsonFlag(),
      }),
      {
        brief: message`Load their batches again, after a function was mended.`,
        description:
          message`Oldest first, each batch in a transaction of its own; nothing is fetched. Safe to interrupt and to repeat. Ends with 75 when a batch could not be loaded, or when it was stopped.`,
      },
    ),
    command(
      "discard",
      object({
        command: constant("quarantine"),
        action: constant("discard"),
        note: option("-m", "--note", string({ metavar: "TEXT" }), {
          description: message`Why they need no repair.`,
        }),
        ...choice,
        all: withDefault(flag("--all", { description: message`All of them.` }), false),
        dryRun: withDefault(
          flag("--dry-run", { description: message`Say what would go; change nothing.` }),
          false,
        ),
        json: jsonFlag(),
      }),
      {
        brief: message`Take them out for good; they are kept, with the note.`,
        description:
          message`A discarded offer comes back only when a later load of its batch rejects it for another reason.`,
      },
    ),
  ),
  {
    brief: message`Rejected offers: look, repair, discard.`,
    description:
      message`Items of stored pages that cannot be offers are kept with the reason and the original JSON. After a function was mended, replay puts them in the batch where they belong.`,
    footer: examples(
      ["p2p-ingest quarantine list", "reasons, counts, and where there is one"],
      [
        "p2p-ingest quarantine show --reason 'price is not a number' --limit 1",
        "one of them, as it came",
      ],
      ["p2p-ingest quarantine replay --since 2026-03-01", "after the parser was mended"],
      [
        "p2p-ingest quarantine discard --reason 'no price' --note 'ads without a price, nothing to mend'",
        "no longer listed",
      ],
    ),
  },
);

interface Choice {
  readonly reason: string | undefined;
  readonly batch: string | undefined;
  readonly json: boolean;
}

export type QuarantineArguments =
  | { readonly action: "list"; readonly json: boolean }
  | { readonly action: "show"; readonly limit: number } & Choice
  | {
    readonly action: "replay";
    readonly since: Date | undefined;
    readonly until: Date | undefined;
  } & Choice
  | {
    readonly action: "discard";
    readonly note: string;
    readonly all: boolean;
    readonly dryRun: boolean;
  } & Choice;

export async function quarantine(args: QuarantineArguments): Promise<ExitCode> {
  if (args.action === "discard") refuseVague(args);
  const config = await readEnvironment();
  using signal = untilStopped();
  await using opened = await openDatabase({
    config,
    purpose: `quarantine ${args.action}`,
    schema: "current",
    connections: 1,
    signal,
  });
  const { database } = opened;
  switch (args.action) {
    case "list":
      return await list(database, args.json);
    case "show":
      return await show(database, args);
    case "replay":
      return await replayQuarantine(database, { ...args, signal });
    case "discard":
      return await discard(database, args);
  }
}

/** Everything at once must be meant. */
function refuseVague(args: Extract<QuarantineArguments, { action: "discard" }>): void {
  const isNarrow = args.reason !== undefined || args.batch !== undefined;
  if (isNarrow !== args.all) return;
  throw new UsageError(
    isNarrow ? "--all excludes --reason and --batch" : "discard what?",
    "--reason, --batch, or --all; --dry-run says what would go",
  );
}

/** One JSON document as text, made by the database: numbers of 20 digits survive. */
async function document(
  database: Database,
  call: string,
  parameters: readonly Parameter[],
): Promise<string> {
  const [row] = await database.run(
    `select coalesce(json_agg(to_json(q)), '[]')::text as document from ${call} as q`,
    parameters,
    DEADLINES.statementSeconds,
  );
  return `${row?.["document"]}\n`;
}

async function list(database: Database, json: boolean): Promise<ExitCode> {
  if (json) {
    print(await document(database, "p2p.quarantine", []));
    return EXIT.done;
  }
  const rows = await database.run(
    `select reason, offers, batches, to_char(first_batch at time zone 'UTC', 'YYYY-MM-DD HH24:MI"Z"') as first,
       to_char(last_batch at time zone 'UTC', 'YYYY-MM-DD HH24:MI"Z"') as last, example from p2p.quarantine`,
    [],
    DEADLINES.statementSeconds,
  );
  if (rows.length === 0) tell("the quarantine is empty\n");
  else print(table(rows));
  return EXIT.done;
}

async function show(
  database: Database,
  { reason, batch, limit, json }: Extract<QuarantineArguments, { action: "show" }>,
): Promise<ExitCode> {
  const call = "p2p.show_quarantine($1, $2, $3)";
  const parameters = [reason ?? null, batch ?? null, limit];
  if (json) {
    print(await document(database, call, parameters));
    return EXIT.done;
  }
  const rows = await database.run(
    `select reason, batch_id, place, can_be_loaded, jsonb_pretty(payload) as payload,
       to_char(batch_start_time at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"') as started from ${call}`,
    parameters,
    DEADLINES.statementSeconds,
  );
  const { bold, dim } = style(Deno.stdout);
  for (const row of rows) {
    print(`${bold(`${row["reason"]}: ${row["place"]}`)}\n`);
    const page = row["can_be_loaded"] === true ? "" : " · its page was deleted since";
    print(`${dim(`batch ${row["batch_id"]} of ${row["started"]}${page}`)}\n`);
    print(`${row["payload"]}\n\n`);
  }
  if (rows.length === 0) tell("nothing of it is in quarantine\n");
  return EXIT.done;
}

async function discard(
  database: Database,
  { note, reason, batch, dryRun, json }: Extract<QuarantineArguments, { action: "discard" }>,
): Promise<ExitCode> {
  const call = "p2p.discard_rejected($1, $2, $3, $4)";
  const parameters = [note, reason ?? null, batch ?? null, dryRun];
  if (json) {
    print(await document(database, call, parameters));
    return EXIT.done;
  }
  const rows = await database.run(`select * from ${call}`, parameters, DEADLINES.loadSeconds);
  if (rows.length === 0) tell("nothing of it is in quarantine\n");
  else print(table(rows));
  if (dryRun) tell("nothing was changed\n");
  return EXIT.done;
}

function table(rows: readonly Row[]): string {
  return renderRecords(Object.keys(rows[0] ?? {}), rows, style(Deno.stdout));
}
