/** Memory of a process in bytes, as the kernel counts it, now (`VmRSS`) or at its peak (`VmHWM`); 0 where it is gone. */
export async function memoryOf(pid: number, which: "VmRSS" | "VmHWM"): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`).catch(() => "");
  const [, kilobytes] = new RegExp(`${which}:\\s+(\\d+) kB`).exec(status) ?? [];
  return Number(kilobytes ?? 0) * 1024;
}
