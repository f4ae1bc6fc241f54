import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { multiple, optional, withDefault } from "@optique/core/modifiers";
import { command, constant, flag, option } from "@optique/core/primitives";
import { integer, string } from "@optique/core/valueparser";
import { type CandidateFile, explainPreview, scriptOf } from "../database/candidate.ts";
import {
  type BatchSelection,
  previewLoad,
  type ReplayableBatch,
  replayableBatches,
} from "../database/replay.ts";
import type { Database } from "../database/connection.ts";
import { BatchError, describe, EXIT, type ExitCode, UsageError } from "../errors.ts";
import { openDatabase, readEnvironment, untilStopped } from "./environment.ts";
import { examples, jsonFlag } from "./help.ts";
import { describePreview, previewDocument } from "./preview_report.ts";
import { replayBatches } from "./replay_run.ts";
import { print } from "./terminal.ts";
import { time } from "./time_option.ts";

export const replayCommand = command(
  "replay",
  object({
    command: constant("replay"),
    batches: multiple(option("-b", "--batch", string({ metavar: "ID" }), {
      description: message`This batch; may be given several times.`,
    })),
    since: optional(option("--since", time(), {
      description:
        message`Batches that started then or later: 2026-03-01, 2026-03-01T10:20Z. Without a zone it is UTC.`,
    })),
    until: optional(option("--until", time(), {
      description: message`Batches that started then or earlier.`,
    })),
    last: optional(option("-l", "--last", integer({ min: 1, max: 1_000_000, metavar: "N" }), {
      description: message`The last N batches. A dry run without a choice takes the last one.`,
    })),
    all: withDefault(
      flag("--all", {
        description: message`Also batches that the SQL of now has loaded already.`,
      }),
      false,
    ),
    dryRun: withDefault(
      flag("-n", "--dry-run", {
        description: message`Say what would change; change nothing.`,
      }),
      false,
    ),
    with: multiple(option("-w", "--with", string({ metavar: "FILE" }), {
      description:
        message`With --dry-run: as if this SQL were installed; may be given several times.`,
    })),
    json: jsonFlag(),
  }),
  {
    brief: message`Load batches again from their raw pages.`,
    description:
      message`After a function was changed: brings the facts of old batches to what the SQL of now makes of them, oldest first, each batch in a transaction of its own. Nothing is fetched. Safe to interrupt and to repeat: what needs no change is not touched. Batches whose raw pages are gone are left as they are. Ends with 75 when a batch failed or was left out although it was asked for.`,
    footer: examples(
      ["p2p-ingest replay --dry-run", "what the SQL of now would make of the last batch"],
      [
        "p2p-ingest replay --dry-run --last 6 --with reject_offers.sql",
        "the same for a function that is not installed yet",
      ],
      ["p2p-ingest replay --since 2026-03-01 --until 2026-03-02T12:00Z", "do it"],
      ["p2p-ingest replay --batch 5c1e… --json", "one batch, for a script"],
    ),
  },
);

export interface ReplayArguments {
  readonly batches: readonly string[];
  readonly since: Date | undefined;
  readonly until: Date | undefined;
  readonly last: number | undefined;
  readonly all: boolean;
  readonly dryRun: boolean;
  readonly with: readonly string[];
  readonly json: boolean;
}

export async function replay(args: ReplayArguments): Promise<ExitCode> {
  const selection = selectionOf(args);
  if (args.with.length > 0 && !args.dryRun) {
    throw new UsageError(
      "--with is for --dry-run: replay runs the SQL that is installed",
      `to install it: psql -f ${args.with[0]}, then the same command without --with`,
    );
  }
  const files = await Promise.all(args.with.map(readCandidate));
  const config = await readEnvironment();
  using signal = untilStopped();
  await using opened = await openDatabase({
    config,
    purpose: "replay",
    schema: "current",
    connections: 1,
    isForPeople: files.length > 0,
    signal,
  });
  const found = await replayableBatches(opened.database, selection);
  refuseUnknown(selection, found);
  return args.dryRun
    ? await dryRun(opened.database, found, files, { json: args.json, signal })
    : await replayBatches(opened.database, found, {
      isAskedByName: selection.batchIds !== undefined,
      json: args.json,
      signal,
    });
}

async function dryRun(
  database: Database,
  found: readonly ReplayableBatch[],
  files: readonly CandidateFile[],
  { json, signal }: { json: boolean; signal: AbortSignal },
): Promise<ExitCode> {
  const batches = found.filter(({ obstacle }) => obstacle === undefined);
  if (batches.length === 0) throw nothingToDo(found);
  const started = performance.now();
  const ids = batches.map(({ batchId }) => batchId);
  const effects = await previewLoad(database, ids, scriptOf(files), signal).catch((error) => {
    throw explainPreview(error, files);
  });
  const preview = {
    found,
    files: files.map(({ name }) => name),
    effects,
    seconds: (performance.now() - started) / 1000,
  };
  print(json ? JSON.stringify(previewDocument(preview)) + "\n" : describePreview(preview));
  return EXIT.done;
}

function nothingToDo(found: readonly ReplayableBatch[]): BatchError {
  const [first] = found;
  return new BatchError(
    first === undefined
      ? "there is no such batch"
      : `batch ${first.batchId} cannot be loaded again: ${first.obstacle}`,
    first === undefined ? "p2p-ingest status shows the last ones" : undefined,
  );
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** @throws {UsageError} */
function selectionOf(args: ReplayArguments): BatchSelection {
  const { batches, since, until, last, all, dryRun } = args;
  const isRange = since !== undefined || until !== undefined;
  const ways = [batches.length > 0, isRange, last !== undefined].filter(Boolean).length;
  if (ways > 1) {
    throw new UsageError("--batch, --since/--until and --last exclude one another: give one");
  }
  if (ways === 0 && !dryRun) {
    throw new UsageError(
      "which batches?",
      "give --batch ID, --since TIME, --until TIME or --last N; with --dry-run nothing is changed",
    );
  }
  for (const id of batches) {
    if (!UUID.test(id)) {
      throw new UsageError(
        `--batch: "${id}" is not the id of a batch`,
        "p2p-ingest status shows the ids",
      );
    }
  }
  if (since !== undefined && until !== undefined && since > until) {
    throw new UsageError("--since is later than --until");
  }
  return {
    ...(batches.length > 0 && { batchIds: [...new Set(batches.map((id) => id.toLowerCase()))] }),
    ...(since !== undefined && { since }),
    ...(until !== undefined && { until }),
    ...(ways === 0 ? { last: 1 } : last !== undefined && { last }),
    all: all || dryRun, // to look at what a candidate would do, or to see that nothing would change
  };
}

async function readCandidate(name: string): Promise<CandidateFile> {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await Deno.readFile(name));
    if (text.includes("\0")) throw new TypeError("a NUL character is in it"); // UTF-16, or no text at all
    return { name, text };
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound
      ? "there is no such file"
      : error instanceof TypeError
      ? "it is not text in UTF-8"
      : describe(error);
    throw new UsageError(`--with ${name}: ${reason}`);
  }
}

function refuseUnknown(selection: BatchSelection, found: readonly ReplayableBatch[]): void {
  const known = new Set(found.map(({ batchId }) => batchId));
  const unknown = selection.batchIds?.find((id) => !known.has(id));
  if (unknown !== undefined) {
    throw new UsageError(`there is no batch ${unknown}`, "p2p-ingest status shows the last ones");
  }
}
