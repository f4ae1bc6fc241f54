/** A PostgreSQL of its own that can be killed and started again. */
import postgres from "postgres";
import { Database } from "../../src/database/connection.ts";
import { migrate } from "../../src/database/migrate.ts";
import { type Cluster, findRunning, openCluster } from "../../src/embedded/cluster.ts";
import { poll } from "../../src/embedded/deadlines.ts";
import { SUPERUSER } from "../../src/embedded/layout.ts";
import { isAlive } from "../../src/embedded/processes.ts";

const WORKER = "chaos_worker";
const PASSWORD = "chaos";

/** How the server ends: as by `kill -9`, as by a power cut with a chance to say goodbye, or as by an upgrade. */
export type ServerEnd = "SIGKILL" | "SIGQUIT" | "SIGINT";

export class Postgres implements AsyncDisposable {
  #cluster: Cluster | undefined;
  #url = "";

  private constructor(readonly dataDir: string) {}

  /** A migrated database; a commit that was acknowledged survives every end of the server. */
  static async start(): Promise<Postgres> {
    const server = new Postgres(await Deno.makeTempDir({ prefix: "p2p-chaos-" }));
    await Deno.chmod(server.dataDir, 0o755);
    await server.open();
    await using database = server.connect();
    await migrate(database);
    await database.runScript(
      // Without fsync, which only a crash of the machine needs; but what a crash of the server leaves is all we told.
      `alter database p2p set synchronous_commit = on;
       create role ${WORKER} login password '${PASSWORD}' in role p2p_worker;
       grant ${WORKER} to current_user -- may end its sessions`,
      60,
    );
    return server;
  }

  /** Where it is, or was last. */
  get url(): string {
    return this.#url;
  }

  /** With the rights of a worker. */
  get workerUrl(): string {
    const url = new URL(this.url);
    url.username = WORKER;
    url.password = PASSWORD;
    return url.href;
  }

  connect(): Database {
    return new Database(this.url, { applicationName: "chaos", connections: 2 });
  }

  /** Starts the server, on another port than before. */
  async open(): Promise<void> {
    this.#cluster = await openCluster({ dataDir: this.dataDir, purpose: "chaos", durable: false });
    this.#url = this.#cluster.url;
  }

  /** Moves the database, but not the server's own files, into a folder: e.g. on a disk that is small. */
  async moveTo(folder: string): Promise<void> {
    const { uid, gid } = await Deno.stat(`${this.dataDir}/cluster`);
    await Deno.chown(folder, uid, gid);
    const [, host = "", , port = ""] = this.#cluster?.psqlArguments ?? [];
    const superuser = postgres({ host, port: Number(port), user: SUPERUSER, database: "postgres" });
    try {
      await superuser.unsafe(`create tablespace small location '${folder}'`);
      await superuser.unsafe("alter database p2p set tablespace small");
    } finally {
      await superuser.end();
    }
  }

  async end(how: ServerEnd): Promise<void> {
    const running = await findRunning(this.dataDir);
    if (running !== undefined) {
      Deno.kill(running.pid, how);
      await poll(60_000, () => isAlive(running.pid) ? undefined : true);
    }
    await this.#cluster?.close();
    this.#cluster = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cluster?.close();
    await Deno.remove(this.dataDir, { recursive: true });
  }
}
