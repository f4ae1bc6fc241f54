/** Peak resident memory of a process until it ends, in bytes, as the kernel counts it (VmHWM). */
export async function peakMemoryOf(process: Deno.ChildProcess): Promise<number> {
  let isRunning = true;
  const ended = process.status.then(() => isRunning = false);
  let peak = 0;
  while (isRunning) {
    const status = await Deno.readTextFile(`/proc/${process.pid}/status`).catch(() => "");
    const [, kilobytes] = /VmHWM:\s+(\d+) kB/.exec(status) ?? [];
    peak = Math.max(peak, Number(kilobytes ?? 0) * 1024);
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 50))]);
  }
  return peak;
}
