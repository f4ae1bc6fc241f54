import { connect, type Socket } from "node:net";

/** What the driver says of where to connect; its types do not know it. */
interface Target {
  host: readonly string[];
  readonly port: readonly number[];
  /** Of a unix socket. */
  readonly path: string | false;
}

/** The same as when the driver notices it: the connection is lost, a later call may find a server. */
class ClosedEarly extends Error {
  readonly code = "CONNECTION_CLOSED";
}

/**
 * Makes the connections of a pool, at most so many before a statement ends. Where a server closes before the session begins (a
 * balancer with nobody behind it), the driver connects again at once, hundreds of times a second, until the statement's
 * deadline; this ends the statement instead, and whoever called it waits before it tries again.
 */
export class Sockets {
  /** In all; several hosts take turns. */
  #made = 0;
  #sinceLastEnd = 0;
  /** What became of the last one that was none. */
  #refusal: Error | undefined;

  constructor(readonly most: number) {}

  /** A statement ended, in whatever way. */
  statementEnded(): void {
    this.#sinceLastEnd = 0;
  }

  /** For the driver, which waits until it is connected. @throws {ClosedEarly} or the refusal of the last of several hosts */
  readonly make = (target: Target): Socket => {
    const { host, port, path } = target;
    if (++this.#sinceLastEnd > this.most * host.length) {
      target.host = host.slice(0, 1); // while it knows another one the driver tells nobody of an error
      throw this.#refusal ?? new ClosedEarly("it closes connections before a session begins");
    }
    if (path !== false) return connect(path);
    const turn = this.#made++ % host.length;
    const place = { host: host[turn] ?? "localhost", port: port[turn] ?? 5432 };
    const socket = connect(place);
    if (host.length > 1) socket.once("error", (error) => this.#refusal = error);
    return Object.assign(socket, place); // the driver verifies the certificate for this host
  };
}
