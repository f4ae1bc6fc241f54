import { type Layout, ROLE, SUPERUSER } from "./layout.ts";
import type { Programs } from "./programs.ts";

/**
 * PostgreSQL's configuration files, written anew at every start, so that a new release brings its own.
 * A person's changes belong into `ALTER SYSTEM`, which wins over these.
 */
export function configurationFiles(
  layout: Layout,
  programs: Programs,
  user: string,
  durable: boolean,
): Record<string, string> {
  return {
    "postgresql.conf": serverSettings(layout, programs, durable),
    "pg_hba.conf": accessRules(),
    "pg_ident.conf": userMap(user),
  };
}

/** For some gigabytes a month on a virtual machine with 1–4 GB of memory and 2 cores. */
function serverSettings(layout: Layout, programs: Programs, durable: boolean): string {
  const lines = [
    "# Written by p2p-ingest at every start. Change settings with ALTER SYSTEM: it wins over this file.",
    "max_connections = 50",
    "shared_buffers = 256MB",
    "effective_cache_size = 1GB",
    "work_mem = 16MB",
    "maintenance_work_mem = 128MB",
    "# /dev/shm has 64 MB in a container: parallel queries stay small and begin in ordinary memory",
    "min_dynamic_shared_memory = 16MB",
    "max_parallel_workers_per_gather = 1",
    "random_page_cost = 1.1",
    "jit = off",
    "# a batch writes 100-200 MB in bursts every ten minutes: spread its checkpoints out",
    "max_wal_size = 1GB",
    "checkpoint_timeout = 15min",
    "wal_compression = pglz",
    "timezone = 'UTC'",
    "log_timezone = 'UTC'",
    "# one file a weekday, written over a week later",
    "logging_collector = on",
    `log_directory = ${quote(layout.log)}`,
    "log_filename = 'postgresql-%a.log'",
    "log_rotation_age = 1d",
    "log_rotation_size = 0",
    "log_truncate_on_rotation = on",
    "log_line_prefix = '%m [%p] %q%a '",
    "log_checkpoints = off",
    "# statements carry whole pages; passwords, too, when a person mistypes ALTER ROLE",
    "log_min_error_statement = fatal",
    "log_parameter_max_length = 0",
  ];
  if (programs.hasStatStatements) lines.push("shared_preload_libraries = 'pg_stat_statements'");
  if (!durable) {
    lines.push(
      "# a throw-away cluster of a test: a crash of the machine may ruin it",
      "fsync = off",
      "synchronous_commit = off",
      "full_page_writes = off",
    );
  }
  return `${lines.join("\n")}\n`;
}

/** Nobody gets in without being known: by the kernel on the socket, by a password on 127.0.0.1. */
function accessRules(): string {
  return [
    "# Written by p2p-ingest at every start.",
    "local all         all peer map=p2p",
    "local replication all peer map=p2p",
    "host  all         all 127.0.0.1/32 scram-sha-256",
    "",
  ].join("\n");
}

/** Over the socket, the one user who runs p2p-ingest may be the worker's role and the superuser. */
function userMap(user: string): string {
  const roles = [ROLE, SUPERUSER];
  return [
    "# Written by p2p-ingest at every start.",
    ...roles.map((role) => `p2p "${user.replaceAll('"', '""')}" ${role}`),
    "",
  ].join("\n");
}

/** A value of a configuration file. */
export function quote(value: string): string {
  return `'${value.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`;
}
