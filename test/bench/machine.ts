import type { Database } from "../../src/database/connection.ts";
import { VERSION } from "../../src/version.ts";

/** Where a benchmark ran, a line each. */
export type Machine = Readonly<Record<string, string>>;

/** @param database of the server that most scenarios use; asked for its version, tier and settings */
export async function describeMachine(database: Database): Promise<Machine> {
  const { free, total } = await diskOf(await Deno.makeTempDir({ prefix: "p2p-bench-" }));
  const [server] = await database.run(
    `select
       current_setting('server_version') as version,
       p2p.database_tier() as tier,
       string_agg(name || ' ' || current_setting(name), ', ' order by position) as settings
     from unnest(array['fsync', 'synchronous_commit', 'shared_buffers', 'work_mem', 'max_wal_size', 'jit'])
       with ordinality as s (name, position)`,
    [],
    60,
  );
  const load = Deno.loadavg();
  return {
    program: VERSION,
    processor: `${navigator.hardwareConcurrency} cores, ${await modelOfProcessor()}`,
    memory: gigabytes(Deno.systemMemoryInfo().total),
    disk: `${gigabytes(total)}, ${gigabytes(free)} free (of the folder for temporary files)`,
    system: `${Deno.build.os} ${Deno.osRelease()} ${Deno.build.arch}`,
    Deno: Deno.version.deno,
    PostgreSQL: `embedded ${server?.["version"]}, tier ${server?.["tier"]}, ${
      server?.["settings"]
    }`,
    "load before": load.map((each) => each.toFixed(1)).join(", ") +
      " processes in the last 1, 5, 15 minutes",
  };
}

const gigabytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(0)} GB`;

async function modelOfProcessor(): Promise<string> {
  const text = await Deno.readTextFile("/proc/cpuinfo").catch(() => "");
  return /^model name\s*: (.+)$/m.exec(text)?.[1]?.replaceAll(/\s+/g, " ") ?? "model unknown";
}

async function diskOf(folder: string): Promise<{ free: number; total: number }> {
  try {
    const { stdout } = await new Deno.Command("df", {
      args: ["-B1", "--output=avail,size", folder],
    }).output();
    const [free, total] = (new TextDecoder().decode(stdout).split("\n")[1] ?? "").trim().split(
      /\s+/,
    );
    return { free: Number(free), total: Number(total) };
  } finally {
    await Deno.remove(folder);
  }
}
