// What the pool says at the start of a session, to a server made by hand.
import assert from "node:assert/strict";
import { Database } from "../../src/database/connection.ts";
import { isConnectionLost } from "../../src/database/errors.ts";
import { queryReadOnly } from "../../src/database/read_only.ts";
import { ConfigurationError } from "../../src/errors.ts";
import { skipLoudly } from "../support/embedded.ts";

const text = new TextDecoder();

/** An ErrorResponse of PostgreSQL. */
function refusal(code: string, message: string): Uint8Array<ArrayBuffer> {
  const fields = new TextEncoder().encode(`SFATAL\0VFATAL\0C${code}\0M${message}\0\0`);
  const bytes = new Uint8Array(5 + fields.length);
  bytes.set(new TextEncoder().encode("E"));
  new DataView(bytes.buffer).setUint32(1, 4 + fields.length);
  bytes.set(fields, 5);
  return bytes;
}

Deno.test("a pooler that takes no settings at the start of a session is asked without them", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const starts: string[] = [];
  const serving = (async () => {
    for await (const connection of listener) {
      const buffer = new Uint8Array(4096);
      const length = await connection.read(buffer) ?? 0;
      starts.push(text.decode(buffer.subarray(8, length)));
      const unknown = /client_connection_check_interval/.exec(starts.at(-1) ?? "")?.[0];
      await connection.write(
        unknown === undefined
          ? refusal("28P01", "wrong password")
          : refusal("08P01", `unsupported startup parameter: ${unknown}`),
      );
      connection.close();
    }
  })();
  {
    await using database = new Database(`postgres://u:p@127.0.0.1:${listener.addr.port}/d`, {
      applicationName: "test",
    });
    await assert.rejects(database.run("select 1", [], 10), /refuses this user: wrong password/);
  }
  listener.close();
  await serving;
  assert.equal(starts.length, 2);
  assert.match(starts[0] ?? "", /client_connection_check_interval\0\d+\0/);
  assert.match(starts[0] ?? "", /tcp_user_timeout\0\d+\0/);
  assert.doesNotMatch(starts[1] ?? "", /tcp_|check_interval/);
  assert.match(starts[1] ?? "", /application_name\0test\0/);
});

Deno.test("query says nothing at the start of a session that a pooler would not take", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const start = (async () => {
    using connection = await listener.accept();
    const buffer = new Uint8Array(4096);
    const length = await connection.read(buffer) ?? 0;
    await connection.write(refusal("28P01", "wrong password"));
    return text.decode(buffer.subarray(8, length));
  })();
  const url = `postgres://u:p@127.0.0.1:${listener.addr.port}/d?sslmode=disable`;
  await assert.rejects(queryReadOnly(url, "select 1", false), /wrong password/);
  const names = (await start).split("\0").filter((_, i) => i % 2 === 0).filter((name) =>
    name !== ""
  );
  assert.deepEqual(names, ["user", "database", "client_encoding", "application_name"]);
});

Deno.test("a server that closes before the session begins is asked a few times, not without end", async () => {
  const read = (connection: Deno.Conn) => connection.read(new Uint8Array(4096));
  const closing: [mode: string, before: (connection: Deno.Conn) => Promise<unknown>][] = [
    ["disable", async () => {}],
    ["disable", read],
    ["prefer", async () => {}],
    ["prefer", async (connection) => {
      await read(connection);
      await connection.write(new TextEncoder().encode("N")); // no TLS here
      await read(connection);
    }],
  ];
  for (const [mode, before] of closing) {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    let connections = 0;
    let isWell = false;
    const serving = (async () => {
      for await (const connection of listener) {
        connections++;
        if (isWell) {
          await read(connection);
          await connection.write(refusal("28P01", "wrong password"));
        } else await before(connection).catch(() => {});
        connection.close();
      }
    })();
    {
      const url = `postgres://u:p@127.0.0.1:${listener.addr.port}/d?sslmode=${mode}`;
      await using database = new Database(url, { applicationName: "test", connections: 3 });
      await assert.rejects(database.run("select 1", [], 10), (error) => {
        assert(isConnectionLost(error), "whoever is patient tries again, after a while");
        assert.match(String(error), /closes connections before a session begins/);
        return true;
      });
      assert.equal(connections, 6, mode);
      isWell = mode === "disable";
      await assert.rejects(
        database.run("select 1", [], 10),
        isWell ? /refuses this user/ : /closes connections/,
      );
    }
    listener.close();
    await serving;
  }
});

Deno.test("a URL means what it means to psql: an IPv6 address, the folder of a socket, an escaped name", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/.s.PGSQL.5432`;
  const servers: [Deno.Listener, (port: number) => string][] = [
    [Deno.listen({ transport: "unix", path }), () => encodeURIComponent(folder)],
    [Deno.listen({ hostname: "127.0.0.1", port: 0 }), (port) => `127.0.0.1:${port}`],
  ];
  const hasIPv6 = Deno.networkInterfaces().some(({ address }) => address === "::1");
  if (hasIPv6) {
    servers.push([Deno.listen({ hostname: "::1", port: 0 }), (port) => `[::1]:${port}`]);
  } else skipLoudly("IPv6 in DATABASE_URL (this machine has none)");
  for (const [listener, place] of servers) {
    const start = (async () => {
      using connection = await listener.accept();
      const buffer = new Uint8Array(4096);
      const length = await connection.read(buffer) ?? 0;
      await connection.write(refusal("42704", 'unrecognized configuration parameter "x"'));
      return text.decode(buffer.subarray(8, length));
    })();
    const port = listener.addr.transport === "tcp" ? listener.addr.port : 0;
    const url = `postgres://u:p@${place(port)}/my%20db?x=1`;
    await using database = new Database(url, { applicationName: "test", connections: 1 });
    await assert.rejects(database.run("select 1", [], 10), (error: unknown) => {
      assert(error instanceof ConfigurationError && error.hint !== undefined, String(error));
      assert.match(error.message, /\/my db begins no session: unrecognized .* "x"/);
      return true;
    });
    assert.match(`${(await start).split("\0")}`, /,database,my db,.*,x,1,/s);
    listener.close();
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("of several hosts that all refuse, it is told at once why", async () => {
  const url = "postgres://u:p@127.0.0.2,127.0.0.3:1/d";
  await using database = new Database(url, { applicationName: "test" });
  const began = performance.now();
  await assert.rejects(
    database.run("select 1", [], 30),
    /127\.0\.0\.2,127\.0\.0\.3:1\/d cannot be reached: connect ECONNREFUSED/,
  );
  await assert.rejects(queryReadOnly(url, "select 1", false), /ECONNREFUSED/);
  assert(performance.now() - began < 20_000, "not by a deadline");
});
