import { join } from "node:path";

/** What lies where in DATA_DIR. */
export interface Layout {
  readonly root: string;
  /** Locked by the process that owns the cluster. */
  readonly ownerLock: string;
  /**
   * Locked (shared) by every process that uses the cluster, so that the last one stops it. The first
   * file to be made: its presence marks the folder as ours.
   */
  readonly usersLock: string;
  /** Held for a moment by a process that leaves, so that two do not both think the other one stops it. */
  readonly leavingLock: string;
  /** PostgreSQL's own data folder. */
  readonly cluster: string;
  /** Password of the role p2p, readable by the user who runs p2p-ingest alone. */
  readonly password: string;
  /** Says that the role p2p may create roles: clusters of release 0.1.0 were made without. */
  readonly mayCreateRoles: string;
  /** Names the server that `db start` left running. */
  readonly detached: string;
  /** Server log, one file a weekday, written over after a week. */
  readonly log: string;
  /** Folder of the unix socket. */
  readonly socket: string;
}

export function layoutOf(root: string): Layout {
  return {
    root,
    ownerLock: join(root, "owner.lock"),
    usersLock: join(root, "users.lock"),
    leavingLock: join(root, "leaving.lock"),
    cluster: join(root, "cluster"),
    password: join(root, "password"),
    mayCreateRoles: join(root, "may-create-roles"),
    detached: join(root, "detached"),
    log: join(root, "log"),
    socket: join(root, "run"),
  };
}

/** Begins the name of everything half made; the owner removes leftovers of it at the next start. */
export const TEMPORARY_PREFIX = ".making-";

/** Begins the name of a tree of PostgreSQL's programs; its version follows. */
export const PROGRAMS_PREFIX = "postgresql-";

export const ROLE = "p2p";
export const DATABASE = "p2p";
export const SUPERUSER = "postgres";
