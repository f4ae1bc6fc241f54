/** An exchange made by hand, byte by byte: each of its fiats is one way to behave. */
import { PATH } from "../../src/simulator/answers.ts";

export interface StrangeRequest {
  readonly path: string;
  readonly fiat: string;
  readonly asset: string;
  readonly side: string;
  /** From 1. */
  readonly page: number;
  /** How often this very request came before. */
  readonly before: number;
}

/** Answers a search with raw bytes. The connection is closed afterwards. */
export type Behaviour = (
  request: StrangeRequest,
  write: (part: string | Uint8Array) => Promise<void>,
  closed: AbortSignal,
) => Promise<void>;

export interface StrangeExchange extends AsyncDisposable {
  readonly url: string;
  /** Requests by path. */
  readonly requests: ReadonlyMap<string, number>;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function bytesOf(part: string | Uint8Array): Uint8Array {
  return typeof part === "string" ? encoder.encode(part) : part;
}

/** A whole answer with a JSON body. */
export function answer(body: string | Uint8Array, headers = "", status = "200 OK"): Uint8Array {
  const bytes = bytesOf(body);
  const head = bytesOf(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${bytes.length}\r\n` +
      `connection: close\r\n${headers}\r\n`,
  );
  const whole = new Uint8Array(head.length + bytes.length);
  whole.set(head);
  whole.set(bytes, head.length);
  return whole;
}

export function pageOf(items: readonly string[], total: string | number = items.length): string {
  return `{"code":"000000","message":null,"data":[${
    items.join(",")
  }],"total":${total},"success":true}`;
}

/** The least that is an offer of a market. */
export function offer(request: StrangeRequest, number: number | string, nickname = "Ana"): string {
  const { fiat, asset, side } = request;
  return `{"adv":{"advNo":"${fiat}${number}","tradeType":"${side === "BUY" ? "SELL" : "BUY"}",` +
    `"asset":"${asset}","fiatUnit":"${fiat}","price":"1.50","surplusAmount":"10.00"},` +
    `"advertiser":{"userNo":"s1","nickName":"${nickname}","userType":"user"}}`;
}

/** Starts it on a free port; every fiat has the one market `<fiat>/USDT BUY`, unless `config` says otherwise. */
export function startStrangeExchange(
  behaviours: Readonly<Record<string, Behaviour>>,
  other?: (request: StrangeRequest) => string | undefined,
): StrangeExchange {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.TcpConn>();
  const requests = new Map<string, number>();
  const seen = new Map<string, number>();
  const closing = new AbortController();

  const usual = (request: StrangeRequest): string | undefined => {
    const { path, fiat } = request;
    const data = path === PATH.fiats
      ? Object.keys(behaviours).map((code) => ({ currencyCode: code, countryCode: "XX" }))
      : path === PATH.config
      ? {
        areas: fiat in behaviours
          ? [{ area: "P2P", tradeSides: [{ side: "BUY", assets: [{ asset: "USDT" }] }] }]
          : [],
      }
      : path === PATH.filters
      ? { tradeMethods: [] }
      : undefined;
    return data === undefined ? undefined : JSON.stringify({ code: "000000", data, success: true });
  };

  const serve = async (connection: Deno.TcpConn) => {
    const message = await readRequest(connection);
    if (message === undefined) return;
    const key = `${message.path} ${message.body}`;
    const before = seen.get(key) ?? 0;
    seen.set(key, before + 1);
    requests.set(message.path, (requests.get(message.path) ?? 0) + 1);
    const asked = message.body === "" ? {} : JSON.parse(message.body);
    const request: StrangeRequest = {
      path: message.path,
      fiat: asked.fiat ?? "",
      asset: asked.asset ?? "",
      side: asked.tradeType ?? "",
      page: asked.page ?? 1,
      before,
    };
    const write = async (part: string | Uint8Array) => {
      for (let rest = bytesOf(part); rest.length > 0;) {
        rest = rest.subarray(await connection.write(rest));
      }
    };
    const text = other?.(request) ?? usual(request);
    if (text !== undefined) return await write(answer(text));
    const behave = request.path === PATH.search ? behaviours[request.fiat] : undefined;
    if (behave === undefined) return await write(answer("{}", "", "404 Not Found"));
    await behave(request, write, closing.signal);
  };

  const accepting = (async () => {
    const serving = new Set<Promise<void>>();
    for await (const connection of listener) {
      open.add(connection);
      const done = serve(connection).catch(() => {}).finally(() => {
        open.delete(connection);
        serving.delete(done);
        try {
          connection.close();
        } catch {
          // closed with the exchange
        }
      });
      serving.add(done);
    }
    await Promise.all(serving);
  })();

  return {
    url: `http://127.0.0.1:${listener.addr.port}`,
    requests,
    [Symbol.asyncDispose]: async () => {
      closing.abort();
      listener.close();
      for (const connection of open) connection.close();
      await accepting;
    },
  };
}

async function readRequest(
  connection: Deno.TcpConn,
): Promise<{ path: string; body: string } | undefined> {
  let text = "";
  const buffer = new Uint8Array(16_384);
  for (;;) {
    const [, head, body] = /^([^]*?)\r\n\r\n([^]*)$/.exec(text) ?? [];
    if (head !== undefined && body !== undefined) {
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (body.length >= length) return { path: head.split(" ")[1] ?? "", body };
    }
    const count = await connection.read(buffer);
    if (count === null) return undefined;
    text += decoder.decode(buffer.subarray(0, count));
  }
}
