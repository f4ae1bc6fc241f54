import { Database } from "../../src/database/connection.ts";
import { migrate } from "../../src/database/migrate.ts";
import { type Cluster, openCluster } from "../../src/embedded/cluster.ts";

/** The embedded PostgreSQL as users have it, `fsync` on, in a folder that is gone afterwards. */
export class BenchServer implements AsyncDisposable {
  private constructor(readonly folder: string, readonly cluster: Cluster) {}

  static async start(): Promise<BenchServer> {
    const folder = await Deno.makeTempDir({ prefix: "p2p-bench-" });
    await Deno.chmod(folder, 0o755);
    try {
      return new BenchServer(
        folder,
        await openCluster({ dataDir: `${folder}/data`, purpose: "bench" }),
      );
    } catch (error) {
      await Deno.remove(folder, { recursive: true });
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster.close();
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** A database of its own on a server, dropped afterwards. */
export class BenchDatabase implements AsyncDisposable {
  private constructor(
    readonly adminUrl: string,
    readonly name: string,
    readonly database: Database,
  ) {}

  /** @param adminUrl of a login that may create databases */
  static async create(adminUrl: string, extension?: string): Promise<BenchDatabase> {
    const name = `bench_${crypto.randomUUID().slice(0, 8)}`;
    await administer(adminUrl, `create database ${name}`);
    const url = new URL(adminUrl);
    url.pathname = `/${name}`;
    const database = new Database(url.href, { applicationName: "bench", connections: 4 });
    if (extension !== undefined) await database.run(`create extension ${extension}`, [], 60);
    return new BenchDatabase(adminUrl, name, database);
  }

  /** With schema p2p, and nothing in it. */
  static async migrated(adminUrl: string): Promise<BenchDatabase> {
    const created = await BenchDatabase.create(adminUrl);
    await migrate(created.database);
    return created;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.database[Symbol.asyncDispose]();
    // Not `with (force)`: that wants to end autovacuum itself, which only a superuser may; a plain drop asks it to go.
    await administer(
      this.adminUrl,
      `select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '${this.name}' and usename = current_user`,
    );
    await administer(this.adminUrl, `drop database ${this.name}`);
  }
}

async function administer(adminUrl: string, statement: string): Promise<void> {
  await using admin = new Database(adminUrl, { applicationName: "bench", connections: 1 });
  await admin.run(statement, [], 300);
}
