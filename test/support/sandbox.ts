/** deploy/p2p-ingest.service without systemd: its environment, credential, user, file system, and our permissions. */
import { fileURLToPath } from "node:url";
import manifest from "../../deno.json" with { type: "json" };

const PROJECT = fileURLToPath(import.meta.resolve("../../"));
const SCRIPT = fileURLToPath(import.meta.resolve("./sandbox.sh"));
const UNIT = fileURLToPath(import.meta.resolve("../../deploy/p2p-ingest.service"));

/** Values of a setting of the unit, in their order. */
export function unitSettings(name: string): string[] {
  const lines = Deno.readTextFileSync(UNIT).split("\n");
  return lines.filter((line) => line.startsWith(`${name}=`)).map((line) =>
    line.slice(name.length + 1)
  );
}

/** Flags of V8 that the executable has. */
export function v8Flags(): string {
  const [flags = ""] = /--v8-flags=\S+/.exec(manifest.tasks.compile.command) ?? [];
  return flags;
}

/** Whether this machine lets us make file systems. */
export async function canSandbox(): Promise<boolean> {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return false;
  const { success } = await new Deno.Command("unshare", {
    args: ["--mount", "sh", "-c", "mount -t tmpfs none /run && command -v setpriv"],
    stdout: "null",
    stderr: "null",
  }).output().catch(() => ({ success: false }));
  return success;
}

/** The program as one file, as `deno compile --bundle` puts it into the executable. */
export async function bundle(folder: string): Promise<string> {
  const path = `${folder}/p2p-ingest.mjs`;
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--output", path, "main.ts"],
    cwd: PROJECT,
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return path;
}

export interface Sandboxed {
  readonly folder: string;
  readonly args: readonly string[];
  /** /etc/p2p-ingest/environment */
  readonly settings: Readonly<Record<string, string>>;
  readonly watchdogSeconds: number;
}

/** @param sandboxed its folder holds the bundle, the credential `database_url`, and the notify socket `systemd` */
export function startSandboxed(
  { folder, args, settings, watchdogSeconds }: Sandboxed,
): Deno.ChildProcess {
  const variables = [
    ...unitSettings("Environment").map((line) =>
      line.replace("%d", "/run/credentials/p2p-ingest.service")
    ),
    "CREDENTIALS_DIRECTORY=/run/credentials/p2p-ingest.service",
    "RUNTIME_DIRECTORY=/run/p2p-ingest",
    "NOTIFY_SOCKET=/run/systemd/notify",
    `WATCHDOG_USEC=${watchdogSeconds * 1e6}`,
    ...Object.entries(settings).map(([name, value]) => `${name}=${value}`),
  ];
  Deno.copyFileSync(`${PROJECT}/deno.json`, `${folder}/deno.json`);
  // The file alone, without a cache: nothing else is read.
  const program = [
    "run",
    "--cached-only",
    "--no-prompt",
    "-P=executable",
    v8Flags(),
    "--config=/run/program/deno.json",
    "/run/program/p2p-ingest.mjs",
  ];
  return new Deno.Command("unshare", {
    args: [
      ...["--mount", "--propagation=private", "sh", SCRIPT, folder, Deno.execPath()],
      ...variables,
      "DENO_DIR=/tmp/deno",
      ...["/run/deno", ...program, ...args],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}
