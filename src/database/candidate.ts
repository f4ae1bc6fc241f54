import postgres from "postgres";
import { BatchError, DatabaseError, UsageError } from "../errors.ts";
import { reasonOf } from "./replay.ts";

/** A file of SQL that is not installed. */
export interface CandidateFile {
  readonly name: string;
  readonly text: string;
}

/** Ends the last statement of a file that forgot to, also after a comment. */
const SEPARATOR = "\n;\n";

/** The files as one script, in their order. */
export function scriptOf(files: readonly CandidateFile[]): string | undefined {
  return files.length === 0 ? undefined : files.map(({ text }) => text).join(SEPARATOR);
}

/**
 * What the server has against a dry run, as an error for a person: with the file and the line where the candidate's own
 * text is wrong, with the PL/pgSQL context where it fails on the data.
 */
export function explainPreview(error: unknown, files: readonly CandidateFile[]): unknown {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (!(cause instanceof postgres.PostgresError)) return error;
  const options = { cause };
  const isOfCandidate = /preview_load\([^)]*\) line \d+ at EXECUTE$/.test(cause.where ?? "");
  if (files.length > 0 && isOfCandidate) {
    if (cause.code === "42501") {
      return new DatabaseError(
        `${cause.message}: the candidate needs the rights of the owner of schema p2p`,
        "set DATABASE_URL to the user who runs `p2p-ingest migrate`",
        options,
      );
    }
    return new UsageError(
      `${placeOf(cause, files)}: ${cause.message} (SQLSTATE ${cause.code})`,
      hintFor(cause),
      options,
    );
  }
  if (error !== cause) return error; // it is known already: a lost connection, a full disk, a batch that runs
  return new BatchError(`the load would fail: ${reasonOf(cause)}`, cause.hint, options);
}

function hintFor({ code, message, hint }: postgres.PostgresError): string | undefined {
  if (/transaction/.test(message) && ["0A000", "2D000", "25001"].includes(code)) {
    return "leave begin, commit and rollback out: a dry run is a transaction that is undone";
  }
  if (code === "42601" && /"\\"/.test(message)) {
    return "commands of psql (\\i, \\set) are not SQL: leave them out";
  }
  return hint;
}

/** `file:line`, or the names of the files where the server gives no position. */
function placeOf(error: postgres.PostgresError, files: readonly CandidateFile[]): string {
  const { position, internal_position, internal_query } = error as postgres.PostgresError & {
    internal_position?: string;
    internal_query?: string;
  };
  const script = scriptOf(files) ?? "";
  // The position counts in the script, or in a text within it: the body of a function.
  const start = internal_query === undefined ? -1 : script.indexOf(internal_query);
  const offset = Number(internal_position ?? position);
  if (start < 0 || Number.isNaN(offset)) return files.map(({ name }) => name).join(", ");
  // The server counts characters, a string of JavaScript counts UTF-16 units.
  let rest = start + [...(internal_query ?? "")].slice(0, offset - 1).join("").length;
  for (const { name, text } of files) {
    if (rest <= text.length) return `${name}:${text.slice(0, rest).split("\n").length}`;
    rest -= text.length + SEPARATOR.length;
  }
  return files.at(-1)?.name ?? "";
}
