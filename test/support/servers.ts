import { join } from "node:path";
import { openCluster } from "../../src/embedded/cluster.ts";

/** A PostgreSQL that tests may fill and break. */
export interface TestServer extends AsyncDisposable {
  readonly title: string;
  readonly adminUrl: string;
}

/** The PostgreSQL that the project brings along. */
export async function embeddedServer(folder: string): Promise<TestServer> {
  const cluster = await openCluster({
    dataDir: join(folder, "embedded"),
    purpose: "test",
    durable: false,
  });
  return {
    title: "embedded PostgreSQL",
    adminUrl: cluster.url,
    [Symbol.asyncDispose]: () => cluster.close(),
  };
}

export const DEBIAN_PROGRAMS = "/usr/lib/postgresql/15/bin";

/** Debian's PostgreSQL 15, the oldest that is supported; undefined where it is not installed. */
export async function debianServer(folder: string): Promise<TestServer | undefined> {
  try {
    await Deno.stat(join(DEBIAN_PROGRAMS, "postgres"));
  } catch {
    return undefined;
  }
  const home = join(folder, "debian");
  const data = join(home, "data");
  const port = freePort();
  await Deno.mkdir(home);

  const account = Deno.uid() === 0 ? await accountOf("postgres") : undefined;
  if (account !== undefined) await Deno.chown(home, account.uid, account.gid);
  const command = async (program: string, ...args: string[]) => {
    const { success, stderr } = await new Deno.Command(join(DEBIAN_PROGRAMS, program), {
      args,
      cwd: home,
      stdout: "null",
      stderr: "piped",
      ...account,
    }).output();
    if (!success) throw new Error(`${program}: ${new TextDecoder().decode(stderr)}`);
  };
  await command("initdb", "-D", data, "-U", "p2p", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8");
  const settings =
    `-p ${port} -k ${home} -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off -c max_connections=100 -c track_functions=all`;
  await command("pg_ctl", "-D", data, "-w", "-l", join(home, "log"), "-o", settings, "start");
  return {
    title: "Debian's PostgreSQL 15",
    adminUrl: `postgresql://p2p@127.0.0.1:${port}/postgres`,
    [Symbol.asyncDispose]: () => command("pg_ctl", "-D", data, "-m", "immediate", "stop"),
  };
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function accountOf(name: string): Promise<{ uid: number; gid: number }> {
  const line = (await Deno.readTextFile("/etc/passwd")).split("\n").find((entry) =>
    entry.startsWith(`${name}:`)
  );
  const [, , uid, gid] = line?.split(":") ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}
