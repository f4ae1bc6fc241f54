import { object, or } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { multiple, optional, withDefault } from "@optique/core/modifiers";
import { argument, command, constant, flag, option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import type { Database } from "../database/connection.ts";
import { type ObjectState, readObjectStates } from "../database/object_states.ts";
import { DEADLINES } from "../deadlines.ts";
import { EXIT, type ExitCode, UsageError } from "../errors.ts";
import { openDatabase, readEnvironment } from "./environment.ts";
import { examples, jsonFlag } from "./help.ts";
import { coloured, differencesOf } from "./sql_diff.ts";
import { print, style, tell } from "./terminal.ts";

const name = () =>
  argument(string({ metavar: "NAME" }), { description: message`e.g. load_offers` });

export const sqlCommand = command(
  "sql",
  or(
    command(
      "diff",
      object({
        command: constant("sql"),
        action: constant("diff"),
        names: multiple(name()),
        json: jsonFlag(),
      }),
      {
        brief: message`What was changed live, against what is shipped; exit 1 if anything drifted.`,
        description:
          message`Compares what the server stores. Where a newer release ships another text than the one a change began from, both changes are shown. Exit 1 when a change is not adopted, so that it can gate a deploy.`,
      },
    ),
    command(
      "show",
      object({
        command: constant("sql"),
        action: constant("show"),
        name: name(),
        shipped: withDefault(
          flag("--shipped", { description: message`The text that the release ships.` }),
          false,
        ),
      }),
      { brief: message`Print a function or view as it is now, ready for psql.` },
    ),
    command(
      "adopt",
      object({
        command: constant("sql"),
        action: constant("adopt"),
        names: multiple(name(), { min: 1 }),
        note: optional(
          option("--note", string({ metavar: "TEXT" }), {
            description: message`Why it is changed.`,
          }),
        ),
      }),
      { brief: message`Say that a live change is meant to stay.` },
    ),
    command(
      "restore",
      object({
        command: constant("sql"),
        action: constant("restore"),
        names: multiple(name(), { min: 1 }),
        dryRun: withDefault(
          flag("-n", "--dry-run", {
            description: message`Show what would change; change nothing.`,
          }),
          false,
        ),
      }),
      {
        brief: message`Put a function or view back to the shipped text.`,
        description: message`The live text is kept in p2p.schema_object_history.`,
      },
    ),
  ),
  {
    brief: message`What a DBA changed in the live functions and views.`,
    description:
      message`Change a function in psql with create or replace; migrate keeps it. See it with diff, keep it with adopt, undo it with restore.`,
    footer: examples(
      ["p2p-ingest sql diff", "everything that was changed live"],
      ["p2p-ingest sql adopt reject_offers --note 'limits are optional here'", "it is meant so"],
      ["p2p-ingest sql restore reject_offers", "back to the shipped text"],
      ["p2p-ingest sql show reject_offers > reject_offers.sql", "to edit it"],
    ),
  },
);

export type SqlArguments =
  | { readonly action: "diff"; readonly names: readonly string[]; readonly json: boolean }
  | { readonly action: "show"; readonly name: string; readonly shipped: boolean }
  | {
    readonly action: "adopt";
    readonly names: readonly string[];
    readonly note: string | undefined;
  }
  | { readonly action: "restore"; readonly names: readonly string[]; readonly dryRun: boolean };

export async function sql(args: SqlArguments): Promise<ExitCode> {
  const config = await readEnvironment();
  await using opened = await openDatabase({ config, purpose: "sql", schema: "current" });
  const { database } = opened;
  switch (args.action) {
    case "diff":
      return diff(await readObjectStates(database, args.names), args.names, args.json);
    case "show":
      return await show(database, args.name, args.shipped);
    case "adopt":
      return await adopt(database, args.names, args.note);
    case "restore":
      return await restore(database, args.names, args.dryRun);
  }
}

function diff(states: readonly ObjectState[], names: readonly string[], json: boolean): ExitCode {
  const changed = states.filter(({ state }) => state !== "shipped");
  const drifted = changed.filter(({ state }) => state === "drifted");
  if (json) {
    print(
      JSON.stringify(changed.map((object) => ({ ...object, diff: differencesOf(object) }))) + "\n",
    );
  } else {
    for (const object of changed) print(heading(object) + coloured(differencesOf(object)) + "\n");
    const looked = names.length === 0 ? "functions and views" : names.join(", ");
    tell(
      changed.length === 0
        ? `${looked}: as shipped\n`
        : `${states.length} looked at: ${
          changed.length - drifted.length
        } tuned, ${drifted.length} drifted\n`,
    );
  }
  return drifted.length > 0 ? EXIT.findings : EXIT.done;
}

function heading(object: ObjectState): string {
  const { bold, yellow } = style(Deno.stdout);
  const says = object.isMissing
    ? "missing: somebody dropped it; p2p-ingest migrate makes it again"
    : object.state === "tuned"
    ? `tuned by ${object.adoptedBy} at ${object.adoptedAt}: ${object.adoptedNote}`
    : "drifted: changed live, not adopted";
  const moved = object.hasMovedOn
    ? yellow(
      `the release has moved on underneath: merge by hand, then p2p-ingest sql adopt, or restore\n`,
    )
    : "";
  return `${bold(object.identity)}\n${says}\n${moved}`;
}

async function show(database: Database, name: string, shipped: boolean): Promise<ExitCode> {
  const [object] = await readObjectStates(database, [name]);
  const text = shipped ? object?.shipped : object?.live;
  if (text === undefined) {
    throw new UsageError(`${object?.identity} is missing`, "p2p-ingest migrate makes it again");
  }
  print(text);
  return EXIT.done;
}

async function adopt(
  database: Database,
  names: readonly string[],
  note: string | undefined,
): Promise<ExitCode> {
  if (note === undefined) throw new UsageError("--note is missing: why is it changed?");
  const rows = await database.run(
    "select p2p.adopt_object(name, $2) as identity from jsonb_array_elements_text($1::text::jsonb) as name",
    [JSON.stringify(names), note],
    DEADLINES.statementSeconds,
  );
  for (const row of rows) print(`adopted ${row["identity"]}\n`);
  return EXIT.done;
}

async function restore(
  database: Database,
  names: readonly string[],
  dryRun: boolean,
): Promise<ExitCode> {
  const changed = (await readObjectStates(database, names)).filter(({ state }) =>
    state !== "shipped"
  );
  if (changed.length === 0) tell(`${names.join(", ")}: as shipped\n`);
  if (dryRun) {
    for (const object of changed) print(heading(object) + coloured(differencesOf(object)) + "\n");
    return EXIT.done;
  }
  const rows = await database.run(
    "select p2p.restore_object(name) as identity from jsonb_array_elements_text($1::text::jsonb) as name",
    [JSON.stringify(changed.map((object) => object.name))],
    DEADLINES.statementSeconds,
  );
  for (const row of rows) print(`restored ${row["identity"]}\n`);
  return EXIT.done;
}
