import { join } from "node:path";
import { DatabaseError } from "../errors.ts";
import { DATABASE, type Layout, ROLE, TEMPORARY_PREFIX } from "./layout.ts";
import type { Server } from "./postmaster_file.ts";

/** How to reach a running server. */
export interface Access {
  /** For programs: over TCP on 127.0.0.1, with the password. Not to be printed in a log. */
  readonly url: string;
  /** For people: a line for the shell, over the unix socket, without a password. */
  readonly psqlCommand: string;
  /** The arguments of psql in that line. */
  readonly psqlArguments: readonly string[];
}

export async function accessTo(layout: Layout, server: Server): Promise<Access> {
  const password = await readPassword(layout);
  if (!password) {
    throw new DatabaseError(
      `the password of the embedded PostgreSQL is missing: ${layout.password}`,
      "p2p-ingest db stop, then start again: it gets a new one",
    );
  }
  const port = String(server.port);
  const psqlArguments = ["-h", server.socketFolder, "-p", port, "-U", ROLE, "-d", DATABASE];
  return {
    url: `postgresql://${ROLE}:${password}@127.0.0.1:${port}/${DATABASE}`,
    psqlCommand: ["psql", ...psqlArguments].map(shellWord).join(" "),
    psqlArguments,
  };
}

/** A word that a shell takes as it is, quoted where it must be. */
function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** The password of the role p2p, made at the first call. */
export async function ensurePassword(layout: Layout): Promise<string> {
  const found = await readPassword(layout);
  if (found) return found;
  const password = [...crypto.getRandomValues(new Uint8Array(24))]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const making = join(layout.root, `${TEMPORARY_PREFIX}password-${crypto.randomUUID()}`);
  await Deno.writeTextFile(making, `${password}\n`, { mode: 0o600, createNew: true });
  await Deno.rename(making, layout.password);
  return password;
}

export async function readPassword(layout: Layout): Promise<string | undefined> {
  try {
    return (await Deno.readTextFile(layout.password)).trim() || undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
