// A server on a port of its own, for a process that may open few files: it tells its address, and tries again soon.
import { systemClock } from "../../src/extract/clock.ts";
import { serveHttp, text } from "../../src/serve/http_server.ts";

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
const { port } = listener.addr;
listener.close();
serveHttp({
  host: "127.0.0.1",
  port,
  routes: { "/hello": () => text(200, "hello") },
  signal: new AbortController().signal,
  clock: { ...systemClock, sleep: (_, signal) => systemClock.sleep(100, signal) },
});
setInterval(() => {}, 60_000);
await Deno.stdout.write(new TextEncoder().encode(`${port}\n`));
