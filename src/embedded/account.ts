import { userInfo } from "node:os";
import { dirname } from "node:path";
import { ConfigurationError } from "../errors.ts";
import { DEADLINE } from "./deadlines.ts";

/** The user of the operating system under whom PostgreSQL runs. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** True when this is not the user of this process: as root, PostgreSQL refuses to run. */
  readonly other: boolean;
}

/** The user of this process: PostgreSQL lets this name in over the unix socket. */
export function ownUser(): string {
  try {
    return userInfo().username;
  } catch {
    throw new ConfigurationError(
      `user id ${Deno.uid()} has no entry in the list of users, and PostgreSQL needs one`,
      "run p2p-ingest as a user with a name, or set DATABASE_URL",
    );
  }
}

/**
 * Whose processes PostgreSQL's are. Root hands them to `postgres`, else `nobody`; a cluster that
 * exists stays with the user it belongs to, also when an account `postgres` appears later.
 */
export async function serverAccount(clusterFolder: string): Promise<Account> {
  const uid = Deno.uid() ?? 0;
  if (uid !== 0) return { name: ownUser(), uid, gid: Deno.gid() ?? 0, other: false };
  const users = parsePasswd(await Deno.readTextFile("/etc/passwd"));
  const owner = await Deno.stat(clusterFolder).then((s) => s.uid, () => undefined);
  if (owner !== undefined && owner !== null) {
    const account = users.find((user) => user.uid === owner);
    if (account && owner !== 0) return account;
    throw new ConfigurationError(
      `${clusterFolder} belongs to user id ${owner}, under whom PostgreSQL cannot run`,
      `give it to an ordinary account, e.g.: chown -R postgres ${clusterFolder}`,
    );
  }
  const account = users.find((user) => user.name === "postgres" && user.uid !== 0) ??
    users.find((user) => user.name === "nobody" && user.uid !== 0);
  if (account) return account;
  throw new ConfigurationError(
    "PostgreSQL does not run as root, and /etc/passwd has no account postgres or nobody",
    "run p2p-ingest as an ordinary user, add the account postgres, or set DATABASE_URL",
  );
}

function parsePasswd(text: string): Account[] {
  return text.split("\n").map((line) => line.split(":")).filter((f) => f.length >= 4).map((
    [name = "", , uid, gid],
  ) => ({ name, uid: Number(uid), gid: Number(gid), other: true }));
}

/** What PostgreSQL's programs see of our environment: nothing that could bend them (PGDATA, PGOPTIONS, LC_*). */
const ENVIRONMENT = { LC_ALL: "C", TZ: "UTC", PATH: "/usr/bin:/bin" };

/** A command that runs under the account, away from our folder (it may be closed to it) and environment. */
export function commandAs(
  account: Account,
  program: string,
  options: Omit<Deno.CommandOptions, "uid" | "gid" | "cwd" | "env" | "clearEnv">,
): Deno.Command {
  const identity = account.other ? { uid: account.uid, gid: account.gid } : {};
  return new Deno.Command(program, {
    ...options,
    ...identity,
    cwd: "/",
    clearEnv: true,
    env: ENVIRONMENT,
  });
}

/**
 * Refuses a folder that the account cannot enter, naming the first closed one on the way to it.
 * Asks the kernel by trying, as access lists and mount options count too.
 */
export async function requireReachable(account: Account, folder: string): Promise<void> {
  if (!account.other || await canEnter(account, folder)) return;
  const way = [folder];
  for (let at = folder; at !== dirname(at); at = dirname(at)) way.unshift(dirname(at));
  let closed = folder;
  for (const step of way) {
    if (await canEnter(account, step)) continue;
    closed = step;
    break;
  }
  throw new ConfigurationError(
    `PostgreSQL runs as the user ${account.name} here (it refuses root), and that user cannot enter ${closed}`,
    `set DATA_DIR to a folder that others may pass through, e.g. /var/lib/p2p-ingest, or: chmod o+x ${closed}`,
  );
}

async function canEnter(account: Account, folder: string): Promise<boolean> {
  const { success } = await commandAs(account, "/bin/sh", {
    args: ["-c", 'cd -- "$1"', "sh", folder],
    stdin: "null",
    stdout: "null",
    stderr: "null",
    signal: AbortSignal.timeout(DEADLINE.probe),
  }).output();
  return success;
}

/** Gives a file or folder to the account, where that is not us. */
export async function giveTo(account: Account, path: string): Promise<void> {
  if (account.other) await Deno.chown(path, account.uid, account.gid);
}
