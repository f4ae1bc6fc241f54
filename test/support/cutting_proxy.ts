/** A TCP proxy to PostgreSQL that resets a connection at one message of the server, told by its type. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

export class CuttingProxy implements AsyncDisposable {
  /** The type of the message behind which the next connection is cut: C (command complete), E (error), D (row). */
  cutsBehind: "C" | "D" | "E" | undefined;
  /** Whether the client is told by a reset, or only that nothing more comes. */
  resets = true;
  readonly #sockets = new Set<Socket>();
  readonly #listener = createServer((client) => this.#accept(client));
  readonly #target: URL;

  private constructor(url: string) {
    this.#target = new URL(url);
  }

  static async before(url: string): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(url);
    proxy.#listener.listen(0, "127.0.0.1");
    await once(proxy.#listener, "listening");
    return proxy;
  }

  /** The URL of the database, by way of the proxy. */
  get url(): string {
    const url = new URL(this.#target);
    const address = this.#listener.address();
    url.port = String(typeof address === "object" && address?.port);
    return url.href;
  }

  #accept(client: Socket): void {
    const server = connect({ host: this.#target.hostname, port: Number(this.#target.port) });
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#sockets.delete(socket);
        client.destroy();
        server.destroy();
      });
    }
    client.on("data", (part) => server.write(part));
    let rest = new Uint8Array();
    let isCut = false;
    server.on("data", (part: Uint8Array) => {
      if (isCut) return;
      const all = new Uint8Array([...rest, ...part]);
      let end = 0;
      while (end + 5 <= all.length && !isCut) {
        const next = end + 1 + new DataView(all.buffer).getUint32(end + 1);
        if (next > all.length) break;
        isCut = this.cutsBehind !== undefined &&
          all[end] === this.cutsBehind.charCodeAt(0);
        end = next;
      }
      rest = all.slice(end);
      client.write(all.slice(0, end), () => isCut && this.#cut(client, server));
    });
  }

  #cut(client: Socket, server: Socket): void {
    this.cutsBehind = undefined;
    // What was sent arrives first: a reset may overtake it.
    setTimeout(() => {
      if (this.resets) client.resetAndDestroy();
      else client.end();
      server.destroy();
    }, 20);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#listener, "close");
    this.#listener.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
