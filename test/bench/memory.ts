import { memoryOf } from "../support/memory.ts";

/** Peak resident memory of a process until it ends, in bytes. */
export async function peakMemoryOf(process: Deno.ChildProcess): Promise<number> {
  let isRunning = true;
  const ended = process.status.then(() => isRunning = false);
  let peak = 0;
  while (isRunning) {
    peak = Math.max(peak, await memoryOf(process.pid, "VmHWM"));
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 50))]);
  }
  return peak;
}
