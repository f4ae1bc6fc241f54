import type { Layout } from "./layout.ts";
import type { Server } from "./postmaster_file.ts";

/** One run of the server: after a crash the same mark must not hold for the next one. */
function nameOf(server: Server): string {
  return `${server.pid} ${server.startedAt}\n`;
}

/** Notes that `db start` wants this run of the server to outlive every command. */
export async function markDetached(layout: Layout, server: Server): Promise<void> {
  await Deno.writeTextFile(layout.detached, nameOf(server), { mode: 0o600 });
}

export async function isDetached(layout: Layout, server: Server): Promise<boolean> {
  try {
    return await Deno.readTextFile(layout.detached) === nameOf(server);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
