/** CPU seconds of a server on this machine, all its processes together. */
export class ServerTime {
  static readonly #TICKS_A_SECOND = 100;

  /** @param postmaster its process id */
  constructor(private readonly postmaster: number) {}

  /** Of a session's own process id. */
  static async ofBackend(pid: number): Promise<ServerTime> {
    return new ServerTime(Number((await fieldsOf(pid))?.[1]));
  }

  async seconds(): Promise<number> {
    let ticks = 0;
    for await (const { name } of Deno.readDir("/proc")) {
      const pid = Number(name);
      if (!Number.isInteger(pid)) continue;
      const fields = await fieldsOf(pid);
      if (fields === undefined) continue;
      // Processes that are gone are counted in their parent.
      if (pid === this.postmaster) ticks += Number(fields[13]) + Number(fields[14]);
      if (Number(fields[1]) === this.postmaster) ticks += Number(fields[11]) + Number(fields[12]);
    }
    return ticks / ServerTime.#TICKS_A_SECOND;
  }
}

/** What stands behind the name in /proc/PID/stat: state, parent, …; undefined for a process that is gone. */
async function fieldsOf(pid: number): Promise<string[] | undefined> {
  try {
    const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}
