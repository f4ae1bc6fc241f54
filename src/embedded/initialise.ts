import { join } from "node:path";
import { ConfigurationError, DatabaseError } from "../errors.ts";
import { type Account, commandAs, giveTo } from "./account.ts";
import { exists } from "./data_folder.ts";
import { DEADLINE } from "./deadlines.ts";
import { diskFull, diskIsFull, saysDiskFull, syncFolder } from "./disk.ts";
import { DATABASE, type Layout, ROLE, SUPERUSER, TEMPORARY_PREFIX } from "./layout.ts";
import { ensurePassword, readPassword } from "./access.ts";
import { majorOf, PACKAGED_VERSION, type Programs } from "./programs.ts";

/**
 * Refuses a cluster of another major version, before anything in it is touched.
 * @throws {ConfigurationError} that names both versions
 */
export async function requireSameMajor(layout: Layout): Promise<void> {
  let found: string;
  try {
    found = (await Deno.readTextFile(join(layout.cluster, "PG_VERSION"))).trim();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    if (!await exists(layout.cluster)) return;
    throw new ConfigurationError(
      `${layout.cluster} holds no PostgreSQL cluster (its file PG_VERSION is missing)`,
      "restore it from a backup, or move the folder away to begin anew",
    );
  }
  const major = majorOf(PACKAGED_VERSION);
  if (found === major) return;
  throw new ConfigurationError(
    `the data folder ${layout.root} was written by PostgreSQL ${found}, and this p2p-ingest brings PostgreSQL ${major}; nothing was changed`,
    `start it with the p2p-ingest release that made it (p2p-ingest db start), save it with pg_dump -Fc, then restore with pg_restore into a new DATA_DIR`,
  );
}

/**
 * Makes the cluster with its role and database, in a folder aside that gets its name only when all
 * of it is there and on the disk: a start that dies in the middle leaves nothing to be trusted.
 *
 * The superuser has no password, so that it gets in over the socket alone. Collation is PostgreSQL's
 * own C.UTF-8: the order of code points and the letter rules of Unicode, the same on every machine
 * and after every upgrade of the operating system.
 */
export async function initialise(
  layout: Layout,
  programs: Programs,
  account: Account,
  durable: boolean,
  signal?: AbortSignal,
): Promise<void> {
  const password = await ensurePassword(layout);
  const making = join(layout.root, `${TEMPORARY_PREFIX}cluster-${crypto.randomUUID()}`);
  await Deno.mkdir(making, { mode: 0o700 });
  await giveTo(account, making);
  const run = runner(layout, account, signal);
  try {
    await run(programs.initdb, [
      `--pgdata=${making}`,
      `--username=${SUPERUSER}`,
      "--auth-local=peer",
      "--auth-host=scram-sha-256",
      "--encoding=UTF8",
      "--locale=C",
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
      "--text-search-config=simple",
      "--data-checksums",
      ...(durable ? [] : ["--no-sync"]),
    ], "");
    const single = singleUser(run, programs, making, durable);
    await single(
      "postgres",
      `create role ${ROLE} login createdb createrole password '${password}' in role pg_monitor, pg_checkpoint`,
      `create database ${DATABASE} owner ${ROLE}`,
    );
    if (programs.hasStatStatements) await single(DATABASE, "create extension pg_stat_statements");
  } catch (error) {
    await Deno.remove(making, { recursive: true });
    throw error;
  }
  await Deno.rename(making, layout.cluster);
  await Deno.writeTextFile(layout.mayCreateRoles, "");
  if (durable) await syncFolder(layout.root);
}

/** Gives the role a new password where the file with the old one was lost. While no server runs. */
export async function restorePassword(
  layout: Layout,
  programs: Programs,
  account: Account,
  signal?: AbortSignal,
): Promise<void> {
  if (await readPassword(layout)) return;
  const password = await ensurePassword(layout);
  try {
    const single = singleUser(runner(layout, account, signal), programs, layout.cluster, true);
    await single("postgres", `alter role ${ROLE} password '${password}'`);
  } catch (error) {
    await Deno.remove(layout.password);
    throw error;
  }
}

/** Lets the role of a cluster that release 0.1.0 made create the roles of `migrate`. While no server runs. */
export async function allowCreatingRoles(
  layout: Layout,
  programs: Programs,
  account: Account,
  signal?: AbortSignal,
): Promise<void> {
  if (await exists(layout.mayCreateRoles)) return;
  const single = singleUser(runner(layout, account, signal), programs, layout.cluster, true);
  await single("postgres", `alter role ${ROLE} createrole`);
  await Deno.writeTextFile(layout.mayCreateRoles, "");
}

type Run = (program: string, args: string[], input: string) => Promise<void>;

/** Runs statements, one a line, in a cluster without a server. */
function singleUser(
  run: Run,
  programs: Programs,
  cluster: string,
  durable: boolean,
): (database: string, ...statements: string[]) => Promise<void> {
  const fsync = durable ? [] : ["-c", "fsync=off"];
  return (database, ...statements) =>
    run(
      programs.postgres,
      [
        "--single",
        "-c",
        "exit_on_error=on",
        "-c",
        "logging_collector=off",
        ...fsync,
        "-D",
        cluster,
        database,
      ],
      statements.map((statement) => `${statement}\n`).join(""),
    );
}

/** Runs a program of PostgreSQL under the account; its last words become the error. */
function runner(
  layout: Layout,
  account: Account,
  signal?: AbortSignal,
): Run {
  const deadline = AbortSignal.timeout(DEADLINE.initialise);
  return async (program, args, input) => {
    const child = commandAs(account, program, {
      args,
      stdin: "piped",
      stdout: "null",
      stderr: "piped",
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    }).spawn();
    const feed = async (): Promise<void> => {
      const writer = child.stdin.getWriter();
      // A program that dies early does not read; its exit code tells, not the broken pipe.
      await writer.write(new TextEncoder().encode(input)).catch(() => {});
      await writer.close().catch(() => {});
    };
    const [{ success, stderr }] = await Promise.all([child.output(), feed()]);
    signal?.throwIfAborted();
    const said = new TextDecoder().decode(stderr);
    if (success) return;
    if (saysDiskFull(said) || await diskIsFull(layout.root)) throw await diskFull(layout.root);
    const reason = deadline.aborted
      ? `took longer than ${DEADLINE.initialise / 1000} s`
      : lastWords(said);
    throw new DatabaseError(
      `the embedded PostgreSQL could not be set up in ${layout.root}: ${reason}`,
      "if the disk is mounted noexec, set DATA_DIR elsewhere; or set DATABASE_URL",
    );
  };
}

/** The line of a program's output that says why it ended. */
export function lastWords(text: string): string {
  const lines = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const telling = lines.findLast((line) => /\b(FATAL|PANIC|ERROR|error):/.test(line));
  return (telling ?? lines.at(-1) ?? "it said nothing").replace(/^.*?\b(FATAL|PANIC|ERROR): +/, "");
}
