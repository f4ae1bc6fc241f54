/**
 * A p2p-ingest process of its own: opens a cluster as the JSON in its first argument says, tells on
 * stdout what it got, and closes when its stdin ends. Errors end it as they end the real program.
 */
import { findRunning, openCluster, startDetached } from "../../src/embedded/cluster.ts";
import { P2pError } from "../../src/errors.ts";

const { detach, ...options } = JSON.parse(Deno.args[0] ?? "{}");
const tell = (value: unknown): void => {
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(value)}\n`));
};

try {
  if (detach) {
    tell(await startDetached(options));
  } else {
    const cluster = await openCluster(options);
    tell({ ...cluster, pid: (await findRunning(options.dataDir))?.pid });
    for await (const _ of Deno.stdin.readable);
    await cluster.close();
  }
} catch (error) {
  if (!(error instanceof P2pError)) throw error;
  tell({ error: error.name, message: error.message, hint: error.hint });
  Deno.exit(error.exitCode);
}
