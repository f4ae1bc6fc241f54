/** A real HTTP server whose answers a test decides. */
export interface TestHttpServer extends AsyncDisposable {
  readonly url: string;
  /** Bodies of the requests, in the order they came. */
  readonly requests: string[];
  /** Ports of the clients: one a connection. */
  readonly connections: Set<number>;
}

type Answer = (request: Request, count: number) => Response | Promise<Response>;

/** @param answer told how many requests came before */
export function serveAnswers(answer: Answer): TestHttpServer {
  const requests: string[] = [];
  const connections = new Set<number>();
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request, { remoteAddr }) => {
      connections.add(remoteAddr.port);
      const count = requests.push(await request.text()) - 1;
      return await answer(request, count);
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    requests,
    connections,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** What a server writes on one connection before it closes it; `"stall"` keeps it open, silent. */
export type RawAnswer = readonly (string | Uint8Array | "stall")[];

/** A server below HTTP, for answers that no HTTP server would send. */
export function serveBytes(answer: (connection: number) => RawAnswer): TestHttpServer {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const requests: string[] = [];
  const connections = new Set<number>();
  const open = new Set<Promise<void>>();
  const stalled = Promise.withResolvers<void>();

  const talk = async (connection: Deno.TcpConn, parts: RawAnswer) => {
    using _ = connection;
    const request = new Uint8Array(65_536);
    const length = await connection.read(request) ?? 0;
    requests.push(new TextDecoder().decode(request.subarray(0, length)));
    for (const part of parts) {
      if (part === "stall") await stalled.promise;
      else await writeAll(connection, part);
    }
  };
  const accept = async () => {
    for await (const connection of listener) {
      connections.add(connection.remoteAddr.port);
      const talking = talk(connection, answer(connections.size - 1)).catch(() => {});
      open.add(talking);
      talking.finally(() => open.delete(talking));
    }
  };
  const accepting = accept();
  return {
    url: `http://127.0.0.1:${listener.addr.port}/`,
    requests,
    connections,
    [Symbol.asyncDispose]: async () => {
      listener.close();
      stalled.resolve();
      await accepting;
      await Promise.all(open);
    },
  };
}

async function writeAll(connection: Deno.Conn, part: string | Uint8Array): Promise<void> {
  let rest = typeof part === "string" ? new TextEncoder().encode(part) : part;
  while (rest.length > 0) rest = rest.subarray(await connection.write(rest));
}

/** The bytes, compressed. */
export async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const packed = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}
