/**
 * A PostgreSQL whose every end, disk and clock are in our hand, with a database of its own for each schedule. Made by the
 * embedded cluster, then run by ourselves: with a clock that can be set (Debian's libfaketime), always on the same port.
 */
import postgres from "postgres";
import { Database } from "../../src/database/connection.ts";
import { migrate } from "../../src/database/migrate.ts";
import { openCluster } from "../../src/embedded/cluster.ts";
import { layoutOf, SUPERUSER } from "../../src/embedded/layout.ts";
import { endRemnants, isAlive } from "../../src/embedded/processes.ts";
import { installPrograms } from "../../src/embedded/programs.ts";
import { rowsOf } from "../support/batches.ts";
import { skipLoudly } from "../support/embedded.ts";
import { freePort } from "../support/ports.ts";
import { FASTER } from "./short_times.ts";

export type ServerEnd = "SIGKILL" | "SIGQUIT" | "SIGINT";

/** Planted, to be looked for in every log. */
export const PASSWORD = "chaosSecretPassword";
export const WORKER = "chaos_worker";
const TEMPLATE = "chaos_template";
const FAKETIME = `/usr/lib/${Deno.build.arch}-linux-gnu/faketime/libfaketime.so.1`;
const DISK_BYTES = 512 * 1024 * 1024;

/** Settings with which every commit takes 60 ms. */
export const LATE_COMMITS = { fsync: "on", commit_delay: 60_000, commit_siblings: 0 } as const;

/** Waits in SQL that are not the caller's: as short as the worker's. */
const SHORT_WAITS: Readonly<Record<string, readonly string[]>> = {
  "functions/is_alive.sql": ["10 seconds", "60 seconds"],
  "functions/take_load.sql": ["10 seconds", "60 seconds"],
  "functions/watch_incidents.sql": ["20 seconds"],
};

export class ChaosServer implements AsyncDisposable {
  #process: Deno.ChildProcess | undefined;
  #password = "";
  #port = 0;
  #owner = { uid: 0, gid: 0 };
  #disk: string | undefined;
  #program: string | undefined;
  #admin: postgres.Sql | undefined;
  #isClockSet = false;
  #logRead = 0;
  /** What one fault at a time may do: a server has one end. */
  #busy: Promise<unknown> = Promise.resolve();

  private constructor(readonly folder: string, readonly hasClock: boolean) {}

  /** @param prepare fills the database that each schedule gets a copy of */
  static async start(prepare: (url: string) => Promise<void>): Promise<ChaosServer> {
    const folder = await Deno.makeTempDir({ prefix: "p2p-chaos-" });
    await Deno.chmod(folder, 0o755);
    const hasClock = await Deno.stat(FAKETIME).then(() => true, () => false);
    await using stack = new AsyncDisposableStack();
    const server = stack.use(new ChaosServer(folder, hasClock));
    if (!hasClock) skipLoudly("a database's clock that jumps: apt-get install faketime");
    await server.#make();
    await server.open();
    await server.#makeTemplate(prepare);
    stack.move();
    return server;
  }

  get hasDisk(): boolean {
    return this.#disk !== undefined;
  }

  url(database: string): string {
    return `postgres://p2p:${this.#password}@127.0.0.1:${this.#port}/${database}`;
  }

  workerUrl(database: string): string {
    return `postgres://${WORKER}:${PASSWORD}@127.0.0.1:${this.#port}/${database}`;
  }

  connect(database: string): Database {
    return new Database(this.url(database), { applicationName: "chaos", connections: 2 });
  }

  async #make(): Promise<void> {
    const cluster = await openCluster({ dataDir: this.folder, purpose: "chaos", durable: false });
    this.#password = new URL(cluster.url).password;
    await cluster.close();
    const { uid, gid } = await Deno.stat(layoutOf(this.folder).cluster);
    this.#owner = { uid: uid ?? 0, gid: gid ?? 0 };
    this.#port = freePort();
    await this.setClock(0);
  }

  async #makeTemplate(prepare: (url: string) => Promise<void>): Promise<void> {
    await this.ask("alter system set synchronous_commit = on"); // what was acknowledged survives every end
    await this.ask("select pg_reload_conf()");
    await this.ask(`create role ${WORKER} login password '${PASSWORD}'`);
    await this.ask(`grant pg_signal_backend to p2p`);
    await this.#mountDisk();
    await this.ask(`create database ${TEMPLATE} owner p2p`);
    {
      await using database = this.connect(TEMPLATE);
      await migrate(database);
      await database.runScript(`grant p2p_worker to ${WORKER}`, 60);
      for (const [name, waits] of Object.entries(SHORT_WAITS)) {
        const [row] = await rowsOf(
          database,
          "select identity, live_definition from p2p.object_states where name = $1",
          name,
        );
        let text = String(row?.["live_definition"]);
        for (const wait of waits) {
          if (!text.includes(`'${wait}'`)) throw new Error(`${name} has no ${wait} any more`);
          text = text.replaceAll(`'${wait}'`, `'${Number.parseInt(wait) / FASTER} seconds'`);
        }
        await database.runScript(text, 60);
        await rowsOf(
          database,
          "select p2p.adopt_object($1, $2)",
          String(row?.["identity"]),
          "chaos",
        );
      }
    }
    await prepare(this.url(TEMPLATE));
  }

  /** A small disk for the databases, but not for the server's own files; only root can mount one. */
  async #mountDisk(): Promise<void> {
    const disk = await Deno.makeTempDir({ prefix: "p2p-chaos-disk-" });
    const { success } = await new Deno.Command("mount", {
      args: ["-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "tmpfs", disk],
      stderr: "null",
    }).output();
    if (!success) {
      skipLoudly("a disk that is full (needs root to mount one)");
      return await Deno.remove(disk);
    }
    this.#disk = disk;
    await Deno.mkdir(`${disk}/space`);
    await Deno.chown(disk, this.#owner.uid, this.#owner.gid);
    await Deno.chown(`${disk}/space`, this.#owner.uid, this.#owner.gid);
    await this.ask(`create tablespace small location '${disk}/space'`);
  }

  async createDatabase(name: string): Promise<void> {
    const place = this.#disk === undefined ? "" : " tablespace small";
    await this.ask(
      `create database ${name} template ${TEMPLATE} owner p2p${place} strategy file_copy`,
    );
  }

  async dropDatabase(name: string): Promise<void> {
    await this.ask(`drop database if exists ${name} with (force)`);
  }

  /** Nothing more fits, until the answer is disposed of. */
  async fillDisk(): Promise<AsyncDisposable> {
    const ballast = `${this.#disk}/ballast`;
    const chunk = new Uint8Array(1 << 20);
    {
      using file = await Deno.open(ballast, { write: true, create: true });
      for (let size = chunk.length; size >= 1;) {
        try {
          await file.write(chunk.subarray(0, size));
        } catch {
          size = Math.floor(size / 16); // down to the last byte
        }
      }
    }
    return { [Symbol.asyncDispose]: () => Deno.remove(ballast) };
  }

  /** Does something that only one may do to this server at a time. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#busy.then(work);
    this.#busy = done.catch(() => {});
    return done;
  }

  /** A clock that can be set costs every look at it a system call: only schedules that need it have it. */
  async useClock(isWanted: boolean): Promise<void> {
    if (this.#isClockSet === (isWanted && this.hasClock)) return;
    this.#isClockSet = isWanted && this.hasClock;
    await this.end("SIGINT");
    await this.open();
  }

  /** So far from the true time. */
  async setClock(seconds: number): Promise<void> {
    const sign = seconds < 0 ? "-" : "+";
    const making = `${this.folder}/clock.making`;
    await Deno.writeTextFile(making, `${sign}${Math.abs(seconds)}\n`);
    await Deno.chmod(making, 0o644);
    await Deno.rename(making, `${this.folder}/clock`);
  }

  async open(): Promise<void> {
    const layout = layoutOf(this.folder);
    this.#program ??= (await installPrograms(layout)).postgres;
    await endRemnants(layout.cluster);
    await Deno.remove(`${layout.cluster}/postmaster.pid`).catch(() => {});
    const socketFolder = layout.socket;
    await Deno.mkdir(socketFolder, { recursive: true });
    await Deno.chown(socketFolder, this.#owner.uid, this.#owner.gid);
    this.#process = new Deno.Command(this.#program, {
      args: [
        "-D",
        layout.cluster,
        "-c",
        `port=${this.#port}`,
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        `unix_socket_directories=${socketFolder}`,
      ],
      ...(Deno.uid() === 0 ? this.#owner : {}),
      cwd: "/",
      clearEnv: true,
      env: {
        LC_ALL: "C",
        TZ: "UTC",
        PATH: "/usr/bin:/bin",
        ...(this.#isClockSet
          ? {
            LD_PRELOAD: FAKETIME,
            FAKETIME_TIMESTAMP_FILE: `${this.folder}/clock`,
            FAKETIME_NO_CACHE: "1",
            FAKETIME_DONT_FAKE_MONOTONIC: "1",
            NO_FAKE_STAT: "1",
          }
          : {}),
      },
      stdin: "null",
      stdout: "null",
      stderr: "null",
      detached: true,
    }).spawn();
    for (let attempt = 0;; attempt++) {
      try {
        return void await this.ask("select 1");
      } catch (error) {
        if (attempt === 600) throw error;
        // Something of the server before may still be there.
        if (!isAlive(this.#process.pid)) return await this.open();
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    }
  }

  /** Whatever faults have set is as at first. */
  async calm(): Promise<void> {
    await this.setClock(0);
    await this.ask(`alter role ${WORKER} connection limit -1`);
    await this.commitAtOnce();
  }

  async commitAtOnce(): Promise<void> {
    for (const name of Object.keys(LATE_COMMITS)) await this.ask(`alter system reset ${name}`);
    await this.ask("select pg_reload_conf()");
  }

  /** The numbers of its processes: the backends of one database, or all children. */
  async children(): Promise<number[]> {
    const pid = this.#process?.pid;
    const text = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`).catch(() => "");
    return text.split(" ").filter((word) => word !== "").map(Number);
  }

  /** From here on its log is that of another schedule. */
  async turnPage(): Promise<void> {
    this.#logRead = (await this.#log()).length;
  }

  /** The lines that it logged since. */
  async logged(): Promise<string[]> {
    return (await this.#log()).slice(this.#logRead).split("\n");
  }

  async #log(): Promise<string> {
    let text = "";
    for await (const { name } of Deno.readDir(layoutOf(this.folder).log)) {
      text += await Deno.readTextFile(`${layoutOf(this.folder).log}/${name}`);
    }
    return text;
  }

  async end(how: ServerEnd): Promise<void> {
    const process = this.#process;
    this.#process = undefined;
    if (process === undefined) return;
    if (isAlive(process.pid)) process.kill(how);
    await process.status;
    await this.#admin?.end({ timeout: 0 });
    this.#admin = undefined;
  }

  /** As the superuser. */
  async ask(statement: string, database = "postgres"): Promise<Record<string, unknown>[]> {
    if (database === "postgres") {
      return await (this.#admin ??= this.#session(database, 3)).unsafe(statement);
    }
    const sql = this.#session(database, 1);
    try {
      return await sql.unsafe(statement);
    } finally {
      await sql.end({ timeout: 1 });
    }
  }

  #session(database: string, connections: number): postgres.Sql {
    return postgres({
      host: layoutOf(this.folder).socket,
      port: this.#port,
      user: SUPERUSER,
      database,
      max: connections,
      fetch_types: false,
      onnotice: () => {},
      connect_timeout: 5,
      backoff: () => 0.05,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGINT");
    if (this.#disk !== undefined) {
      await new Deno.Command("umount", { args: [this.#disk] }).output();
      await Deno.remove(this.#disk);
    }
    await Deno.remove(this.folder, { recursive: true });
  }
}
