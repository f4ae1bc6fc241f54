import type { Clock } from "../extract/clock.ts";
import { describe } from "../errors.ts";
import { logger, visible } from "../log.ts";

/** What systemd says to a service of `Type=notify`; the names are its own. */
export const SYSTEMD_VARIABLES = [
  "NOTIFY_SOCKET",
  "RUNTIME_DIRECTORY",
  "WATCHDOG_PID",
  "WATCHDOG_USEC",
] as const;

export type SystemdVariables = Readonly<Partial<Record<typeof SYSTEMD_VARIABLES[number], string>>>;

/** How the service is, asked again and again. */
export interface ServiceState {
  /** One line for `systemctl status`. */
  readonly status: () => string;
  /** Whether it should be let live: false for a minute or so, and the watchdog ends the process. */
  readonly isAlive: () => boolean;
}

/** Between looks at the state. */
const LOOK_SECONDS = 5;

/** `systemctl status` shows it on one line. */
const STATUS_LENGTH = 300;

const encoder = new TextEncoder();
const log = logger("systemd");

/**
 * Tells systemd how the service is (sd_notify(3)), without running another program. Where nobody wants to know, nothing
 * happens. Needs to write in RUNTIME_DIRECTORY: Deno cannot send from a socket that has no path.
 */
export class ServiceManager implements AsyncDisposable {
  readonly #over = new AbortController();
  #sending: Promise<void> = Promise.resolve();
  #looking: Promise<void> = Promise.resolve();
  #status = "";
  #isWarned = false;

  private constructor(
    readonly clock: Clock,
    readonly socket: Deno.DatagramConn | undefined,
    readonly address: string,
    readonly path: string,
    /** Between signs of life; undefined where none are wanted. */
    readonly watchdogSeconds: number | undefined,
  ) {}

  /** What cannot be told is a warning, never the end. */
  static open(variables: SystemdVariables, clock: Clock): ServiceManager {
    const { NOTIFY_SOCKET: address = "", RUNTIME_DIRECTORY: directories = "" } = variables;
    const path = `${directories.split(":", 1)[0]}/notify`;
    const socket = address === "" ? undefined : bind(address, path);
    return new ServiceManager(clock, socket, address, path, watchdogSeconds(variables));
  }

  /** The service has begun; from now on `state` is told whenever it changes, with the signs of life. */
  ready(state: ServiceState): void {
    this.#tell("READY=1");
    if (this.socket !== undefined) this.#looking = this.#look(state);
  }

  /** The service ends, which may take a while: a batch is loaded first. */
  stopping(): void {
    this.#tell("STOPPING=1");
  }

  async #look(state: ServiceState): Promise<void> {
    const { signal } = this.#over;
    const seconds = Math.min(LOOK_SECONDS, this.watchdogSeconds ?? LOOK_SECONDS);
    while (!signal.aborted) {
      const status = visible(state.status()).slice(0, STATUS_LENGTH);
      const lines = [
        ...(status === this.#status ? [] : [`STATUS=${this.#status = status}`]),
        ...(this.watchdogSeconds !== undefined && state.isAlive() ? ["WATCHDOG=1"] : []),
      ];
      if (lines.length > 0) this.#tell(lines.join("\n"));
      await this.clock.sleep(seconds * 1000, signal).catch(() => {});
    }
  }

  /** In the order in which it was said. */
  #tell(text: string): void {
    const { socket, address } = this;
    if (socket === undefined) return;
    this.#sending = this.#sending.then(async () => {
      try {
        await socket.send(encoder.encode(text), { transport: "unixpacket", path: address });
      } catch (error) {
        if (!this.#isWarned) warn(address, error);
        this.#isWarned = true;
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#looking;
    await this.#sending;
    if (this.socket === undefined) return;
    this.socket.close();
    remove(this.path);
  }
}

/** The end of our own to send from. */
function bind(address: string, path: string): Deno.DatagramConn | undefined {
  try {
    remove(path); // of a process that was killed
    return Deno.listenDatagram({ transport: "unixpacket", path });
  } catch (error) {
    warn(address, error);
    return undefined;
  }
}

function remove(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function warn(address: string, error: unknown): void {
  log.warning("systemd cannot be told how the service is: {reason}", {
    reason: describe(error),
    socket: address,
    hint: "the unit needs RuntimeDirectory=p2p-ingest; without one, Type=exec",
  });
}

/** Half of the time after which systemd ends the process; nothing where the variables are of another process. */
function watchdogSeconds({ WATCHDOG_USEC, WATCHDOG_PID }: SystemdVariables): number | undefined {
  if (WATCHDOG_PID && WATCHDOG_PID !== String(Deno.pid)) return undefined;
  const microseconds = Number(WATCHDOG_USEC);
  return microseconds > 0 ? microseconds / 2_000_000 : undefined;
}
