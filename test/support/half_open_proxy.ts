/** A TCP proxy on 127.0.0.1 that can spoil the way to a server as networks do. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** As much as the buffers of a connection hold: beyond it the sender waits. */
const MOST_BYTES_UNDER_WAY = 1 << 20;

export type Direction = "toServer" | "toClient";

interface Target {
  readonly hostname: string;
  readonly port: number;
}

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  /** Where it is abandoned: never comes. */
  held?: Promise<void>;
}

export class HalfOpenProxy implements AsyncDisposable {
  /** Milliseconds by which every piece of data is late, in each direction. */
  latencyMs = 0;
  /** How fast data flows in each direction of a connection. */
  bytesPerSecond = Infinity;
  /** Connections that were accepted so far. */
  accepted = 0;
  /** Bytes that clients have sent. */
  bytesToServer = 0;
  #target: Target;
  #refuses = false;
  readonly #frozen = new Map<Direction, PromiseWithResolvers<void>>();
  readonly #pairs = new Set<Pair>();
  readonly #listener = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));

  private constructor(target: Target) {
    this.#target = target;
  }

  /** @param url of the server: http://… or postgres://… */
  static async before(url: string): Promise<HalfOpenProxy> {
    const proxy = new HalfOpenProxy(targetOf(url));
    proxy.#listener.listen(0, "127.0.0.1");
    await once(proxy.#listener, "listening");
    return proxy;
  }

  get port(): number {
    const address = this.#listener.address();
    if (address === null || typeof address === "string") throw new Error("the proxy is closed");
    return address.port;
  }

  /** The same URL, by way of the proxy. */
  through(url: string): string {
    const other = new URL(url);
    other.hostname = "127.0.0.1";
    other.port = String(this.port);
    return other.href.replace(/\/$/, url.endsWith("/") ? "/" : "");
  }

  /** New connections go to another server; a restarted PostgreSQL has another port. */
  redirect(url: string): void {
    this.#target = targetOf(url);
  }

  get connections(): number {
    return this.#pairs.size;
  }

  /** Everything flows again, what was held up first. */
  pass(): void {
    this.#refuses = false;
    this.latencyMs = 0;
    this.bytesPerSecond = Infinity;
    for (const { resolve } of this.#frozen.values()) resolve();
    this.#frozen.clear();
  }

  /** Half open: nothing comes through any more, ends of connections included, and nobody is told. */
  freeze(...directions: Direction[]): void {
    const both: Direction[] = ["toServer", "toClient"];
    for (const direction of directions.length > 0 ? directions : both) {
      if (!this.#frozen.has(direction)) this.#frozen.set(direction, Promise.withResolvers());
    }
  }

  /** The connections of now are frozen for ever, and new ones pass: a server that lost its power, and is back. */
  abandon(): void {
    const never = Promise.withResolvers<void>().promise;
    for (const pair of this.#pairs) pair.held = never;
  }

  /** Resets all connections; new ones are welcome. */
  cut(): void {
    for (const pair of this.#pairs) reset(pair);
    this.#pairs.clear();
  }

  /** Resets the connections that were abandoned. */
  cutAbandoned(): void {
    for (const pair of this.#pairs) {
      if (pair.held === undefined) continue;
      reset(pair);
      this.#pairs.delete(pair);
    }
  }

  /** Resets all connections, and each new one as soon as it comes. */
  refuse(): void {
    this.#refuses = true;
    this.cut();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#listener, "close");
    this.#listener.close();
    this.cut();
    this.pass();
    await closed;
  }

  #accept(client: Socket): void {
    this.accepted++;
    client.on("error", () => {});
    if (this.#refuses) return void client.resetAndDestroy();
    const server = connect({ ...this.#target, host: this.#target.hostname, allowHalfOpen: true });
    client.setNoDelay(true);
    server.setNoDelay(true);
    const pair: Pair = { client, server };
    this.#pairs.add(pair);
    server.on("error", () => this.#end(pair));
    client.on("error", () => this.#end(pair));
    Promise.all([
      this.#pump(pair, client, server, "toServer"),
      this.#pump(pair, server, client, "toClient"),
    ]).catch(() => {}).finally(() => this.#end(pair));
  }

  async #pump(pair: Pair, from: Socket, to: Socket, direction: Direction): Promise<void> {
    let delivered = Promise.resolve();
    let underWay = 0;
    for await (const part of from) {
      const bytes = part as Uint8Array;
      if (direction === "toServer") this.bytesToServer += bytes.length;
      const dueAt = performance.now() + this.latencyMs;
      underWay += bytes.length;
      delivered = delivered.then(() => this.#deliver(pair, bytes, to, direction, dueAt))
        .then(() => void (underWay -= bytes.length));
      delivered.catch(() => {}); // it is awaited below, maybe much later
      // Late is not slow: what comes meanwhile is on its way as well.
      if (underWay > MOST_BYTES_UNDER_WAY) await delivered;
    }
    await delivered;
    await pair.held;
    await this.#frozen.get(direction)?.promise;
    to.end();
  }

  async #deliver(
    pair: Pair,
    bytes: Uint8Array,
    to: Socket,
    direction: Direction,
    dueAt: number,
  ): Promise<void> {
    if (dueAt > performance.now()) await sleep(dueAt - performance.now());
    for (let sent = 0; sent < bytes.length;) {
      const next = Math.max(1, Math.min(bytes.length - sent, this.bytesPerSecond / 20));
      if (this.bytesPerSecond !== Infinity) await sleep(1000 * next / this.bytesPerSecond);
      await pair.held;
      await this.#frozen.get(direction)?.promise;
      if (to.destroyed) return;
      const piece = bytes.subarray(sent, sent += Math.ceil(next));
      if (!to.write(piece)) await once(to, "drain");
    }
  }

  /** What one end has lost, the other hears of, unless the way between them is frozen. */
  async #end(pair: Pair): Promise<void> {
    await pair.held;
    await Promise.all([...this.#frozen.values()].map(({ promise }) => promise));
    this.#pairs.delete(pair);
    reset(pair);
  }
}

function reset({ client, server }: Pair): void {
  for (const socket of [client, server]) if (!socket.destroyed) socket.resetAndDestroy();
}

function targetOf(url: string): Target {
  const { hostname, port, protocol } = new URL(url);
  return { hostname, port: Number(port || (protocol === "http:" ? 80 : 5432)) };
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
