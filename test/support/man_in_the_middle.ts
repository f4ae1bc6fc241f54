/** Somebody between client and PostgreSQL who shows a certificate of their own, and reads along where that is taken. */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { Certificate } from "./certificates.ts";

const SSL_REQUEST_BYTES = 8;

export interface ManInTheMiddle extends AsyncDisposable {
  readonly port: number;
  /** What clients have sent, once decrypted. */
  readonly heard: string;
}

/** @param server the real one's port on 127.0.0.1 */
export async function startManInTheMiddle(
  server: number,
  { certificate, key }: Certificate,
): Promise<ManInTheMiddle> {
  const sockets = new Set<Socket>();
  let heard = "";
  const keep = <T extends Socket>(socket: T): T => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    return socket;
  };
  const inside = createTlsServer({
    cert: await Deno.readTextFile(certificate),
    key: await Deno.readTextFile(key),
  }, (client) => {
    keep(client);
    const way = keep(connect(server, "127.0.0.1"));
    client.on("data", (bytes) => heard += bytes.toString("latin1"));
    client.pipe(way).pipe(client);
  });
  inside.on("tlsClientError", () => {});
  const outside = createServer((client) => {
    keep(client).once("data", (bytes) => {
      if (bytes.length !== SSL_REQUEST_BYTES) {
        client.destroy();
        return;
      }
      client.write("S");
      const way = keep(connect(portOf(inside), "127.0.0.1"));
      client.pipe(way).pipe(client);
      way.on("close", () => client.destroy());
    });
  });
  for (const one of [inside, outside]) {
    one.listen(0, "127.0.0.1");
    await once(one, "listening");
  }
  return {
    port: portOf(outside),
    get heard() {
      return heard;
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await Promise.all([inside, outside].map((one) => new Promise((done) => one.close(done))));
    },
  };
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("it is closed");
  return address.port;
}
