import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { HalfOpenProxy } from "../support/half_open_proxy.ts";
import { eventually } from "../support/program.ts";

/** Answers every piece with itself, and tells what it heard. */
async function withEcho(
  work: (proxy: HalfOpenProxy, heard: string[]) => Promise<void>,
): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const heard: string[] = [];
  const open = new Set<Deno.TcpConn>();
  const serve = async (connection: Deno.TcpConn) => {
    const buffer = new Uint8Array(65_536);
    for (;;) {
      const count = await connection.read(buffer).catch(() => null);
      if (count === null) break;
      heard.push(new TextDecoder().decode(buffer.subarray(0, count)));
      for (let sent = 0; sent < count;) {
        const more = await connection.write(buffer.subarray(sent, count)).catch(() => count);
        sent += more;
      }
    }
    if (open.delete(connection)) connection.close();
  };
  const accepting = (async () => {
    for await (const connection of listener) {
      open.add(connection);
      serve(connection);
    }
  })();
  {
    await using proxy = await HalfOpenProxy.before(`http://127.0.0.1:${listener.addr.port}/`);
    await work(proxy, heard);
  }
  listener.close();
  await accepting;
  await eventually("the ends of all connections", () => open.size === 0 ? true : undefined);
}

const MUCH = 48 * 65_536;

class Client implements Disposable {
  #pending: Promise<string> | undefined;
  private constructor(readonly connection: Deno.TcpConn) {}

  static async of(proxy: HalfOpenProxy): Promise<Client> {
    return new Client(await Deno.connect({ hostname: "127.0.0.1", port: proxy.port }));
  }

  async send(text: string): Promise<void> {
    const bytes = new TextEncoder().encode(text);
    for (let sent = 0; sent < bytes.length;) {
      sent += await this.connection.write(bytes.subarray(sent));
    }
  }

  /** What comes next; a read that nothing answered goes on. */
  hear(): Promise<string> {
    return this.#pending ??= (async () => {
      const buffer = new Uint8Array(65_536);
      const count = await this.connection.read(buffer);
      this.#pending = undefined;
      return count === null ? "the end" : new TextDecoder().decode(buffer.subarray(0, count));
    })();
  }

  /** Whether nothing comes for a while. */
  async hearsNothing(): Promise<boolean> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const silence = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(true), 150);
    });
    const heard = await Promise.race([silence, this.hear().then(() => false)]);
    clearTimeout(timer);
    return heard;
  }

  [Symbol.dispose](): void {
    this.connection.close();
  }
}

Deno.test("a proxy that passes: data both ways, and the end of the connection", async () => {
  await withEcho(async (proxy) => {
    using client = await Client.of(proxy);
    await client.send("one");
    strictEqual(await client.hear(), "one");
    await client.connection.closeWrite();
    strictEqual(await client.hear(), "the end");
    await eventually("no connection left", () => proxy.connections === 0 ? true : undefined);
    match(
      proxy.through("postgres://a:b@db.example:5432/p2p"),
      new RegExp(`^postgres://a:b@127.0.0.1:${proxy.port}/p2p$`),
    );
    strictEqual(proxy.through("http://127.0.0.1:9"), `http://127.0.0.1:${proxy.port}`);
  });
});

Deno.test("frozen: connections stay, new ones are taken, nothing comes; thawed, all of it comes", async () => {
  await withEcho(async (proxy, heard) => {
    using client = await Client.of(proxy);
    await client.send("before");
    strictEqual(await client.hear(), "before");
    proxy.freeze();
    await client.send("during");
    using late = await Client.of(proxy);
    await late.send("late");
    ok(await client.hearsNothing());
    deepStrictEqual(heard, ["before"]);
    proxy.pass();
    strictEqual(await client.hear(), "during");
    strictEqual(await late.hear(), "late");
  });
});

Deno.test("frozen one way: the server hears, the client does not", async () => {
  await withEcho(async (proxy, heard) => {
    using client = await Client.of(proxy);
    proxy.freeze("toClient");
    await client.send("hello");
    await eventually("word at the server", () => heard.length > 0 ? true : undefined);
    ok(await client.hearsNothing());
    proxy.pass();
    strictEqual(await client.hear(), "hello");
  });
});

Deno.test("abandoned: the connections of now are dead and stay so, new ones pass", async () => {
  await withEcho(async (proxy) => {
    using client = await Client.of(proxy);
    await client.send("before");
    strictEqual(await client.hear(), "before");
    proxy.abandon();
    await client.send("lost");
    proxy.pass();
    ok(await client.hearsNothing());
    using later = await Client.of(proxy);
    await later.send("new");
    strictEqual(await later.hear(), "new");
    proxy.cut();
    await rejects(client.hear(), { code: "ECONNRESET" });
  });
});

Deno.test("cut and refused: the client meets a reset; afterwards it is welcome", async () => {
  await withEcho(async (proxy) => {
    using client = await Client.of(proxy);
    await client.send("x");
    await client.hear();
    proxy.cut();
    await rejects(client.hear(), { code: "ECONNRESET" });
    proxy.refuse();
    await rejects(visit(proxy), { code: "ECONNRESET" });
    proxy.pass();
    using again = await Client.of(proxy);
    await again.send("y");
    strictEqual(await again.hear(), "y");
  });
});

Deno.test("a server that is not there, or moves: a reset, then the new one", async () => {
  await withEcho(async (proxy) => {
    const port = await withoutServer();
    await withEcho(async (other, heard) => {
      proxy.redirect(`http://127.0.0.1:${port}/`);
      await rejects(visit(proxy), { code: "ECONNRESET" });
      proxy.redirect(`http://127.0.0.1:${other.port}/`);
      using again = await Client.of(proxy);
      await again.send("moved");
      strictEqual(await again.hear(), "moved");
      deepStrictEqual(heard, ["moved"]);
    });
  });
});

Deno.test("latency and trickle: data is late, or comes by and by, and is whole", async () => {
  await withEcho(async (proxy) => {
    using client = await Client.of(proxy);
    proxy.latencyMs = 60;
    let began = performance.now();
    await client.send("late");
    strictEqual(await client.hear(), "late");
    ok(performance.now() - began > 110, "60 ms each way");
    began = performance.now();
    // One piece after the other would take 9.6 s.
    proxy.latencyMs = 200;
    const sending = client.send("x".repeat(MUCH));
    for (let heard = 0; heard < MUCH;) heard += (await client.hear()).length;
    await sending;
    ok(performance.now() - began < 8000, "late is not slow");
    proxy.pass();
    proxy.bytesPerSecond = 2000;
    began = performance.now();
    await client.send("x".repeat(600));
    let text = "";
    while (text.length < 600) text += await client.hear();
    ok(performance.now() - began > 280, "0.3 s each way, one after the other or overlapping");
    strictEqual(text, "x".repeat(600));
  });
});

/** Comes and listens; the reset may come as early as while connecting. */
async function visit(proxy: HalfOpenProxy): Promise<string> {
  using client = await Client.of(proxy);
  return await client.hear();
}

async function withoutServer(): Promise<number> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return await Promise.resolve(listener.addr.port);
}
