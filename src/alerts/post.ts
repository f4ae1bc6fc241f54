const encoder = new TextEncoder();
const LONGEST_HEAD = 16_384;

/**
 * Sends a JSON document to a URL that is a secret, by HTTP/1.1 over a connection of our own: Deno makes a span of every
 * `fetch` and every request of node:http, with all of the URL in it, and sends that to the collector of traces.
 * @returns status and headers; nobody needs the body
 */
export async function postJson(
  url: string,
  document: unknown,
  userAgent: string,
  signal: AbortSignal,
): Promise<Response> {
  const { protocol, hostname, host, port, pathname, search, username, password } = new URL(url);
  const isTls = protocol === "https:";
  const address = {
    hostname: hostname.replace(/^\[|\]$/g, ""),
    port: Number(port || (isTls ? 443 : 80)),
  };
  const body = encoder.encode(JSON.stringify(document));
  const head = [
    `POST ${pathname}${search} HTTP/1.1`,
    `host: ${host}`,
    "content-type: application/json",
    `content-length: ${body.length}`,
    `user-agent: ${userAgent}`,
    ...(username === "" ? [] : [
      `authorization: Basic ${
        btoa(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`)
      }`,
    ]),
    "connection: close",
  ];
  const connecting = isTls ? Deno.connectTls(address) : Deno.connect(address);
  const close = () => connecting.then((connection) => connection.close()).catch(() => {});
  const aborted = Promise.withResolvers<never>();
  const stop = () => aborted.reject(signal.reason);
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop);
  try {
    return await Promise.race([
      exchange(connecting, encoder.encode(head.join("\r\n") + "\r\n\r\n"), body),
      aborted.promise,
    ]);
  } finally {
    signal.removeEventListener("abort", stop);
    aborted.promise.catch(() => {});
    close();
  }
}

async function exchange(
  connecting: Promise<Deno.Conn>,
  head: Uint8Array,
  body: Uint8Array,
): Promise<Response> {
  const connection = await connecting;
  for (const part of [head, body]) {
    for (let sent = 0; sent < part.length;) sent += await connection.write(part.subarray(sent));
  }
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(4096);
  let text = "";
  while (!text.includes("\r\n\r\n")) {
    const length = await connection.read(buffer);
    if (length === null) throw new TypeError("the connection was closed without an answer");
    text += decoder.decode(buffer.subarray(0, length), { stream: true });
    if (text.length > LONGEST_HEAD) break;
  }
  const [first = "", ...lines] = text.split("\r\n\r\n", 1)[0]?.split("\r\n") ?? [];
  const status = Number(/^HTTP\/1\.[01] ([2-5]\d\d)\b/.exec(first)?.[1]);
  if (Number.isNaN(status)) throw new TypeError("the answer is not HTTP");
  const retryAfter = lines.find((line) => /^retry-after:/i.test(line))?.replace(/^[^:]*:\s*/, "");
  return new Response(null, {
    status,
    headers: retryAfter === undefined ? {} : { "retry-after": retryAfter },
  });
}
