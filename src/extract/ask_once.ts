import { describe } from "../errors.ts";
import type { HttpRequest } from "../exchange/exchange.ts";
import { VERSION } from "../version.ts";
import { type Body, readBody } from "./body.ts";
import { RequestFailure } from "./failure.ts";
import { retryAfterSeconds } from "./retry_after.ts";

export interface AskOptions {
  /** Body included. */
  readonly timeoutSeconds: number;
  readonly send: typeof fetch;
  /** Counts up: answers of any kind, and the bytes of those that were read. */
  readonly statistics: { answers: number; bytes: number };
  readonly signal: AbortSignal;
}

export interface Answer {
  readonly document: unknown;
  readonly body: Body;
  readonly status: number;
}

/**
 * Sends a request once and reads the answer to its end.
 * @throws {RequestFailure} for whatever is not a whole JSON document with a 2xx status
 */
export async function askOnce(request: HttpRequest, options: AskOptions): Promise<Answer> {
  const { response, body } = await receive(request, options);
  options.statistics.bytes += body.bytes;
  return { document: parse(body.text, response), body, status: response.status };
}

async function receive(
  request: HttpRequest,
  { timeoutSeconds, send, statistics, signal }: AskOptions,
): Promise<{ response: Response; body: Body }> {
  const deadline = AbortSignal.timeout(timeoutSeconds * 1000);
  try {
    const response = await send(request.url, {
      method: request.method,
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      headers: {
        "accept": "application/json",
        "content-type": "application/json",
        "user-agent": `p2p-ingest/${VERSION}`,
      },
      redirect: "manual", // an offer comes from the exchange that was asked, or not at all
      signal: AbortSignal.any([signal, deadline]),
    });
    statistics.answers++;
    if (!response.ok) {
      await response.body?.cancel();
      throw refusedByStatus(response);
    }
    return { response, body: await readBody(response) };
  } catch (error) {
    throw error instanceof RequestFailure ? error : faultOnTheWay(error, timeoutSeconds);
  }
}

function refusedByStatus(response: Response): RequestFailure {
  const message = `HTTP ${response.status} ${response.statusText}`.trimEnd();
  const retryAfter = retryAfterSeconds(response);
  if (response.status === 429) return new RequestFailure("rate_limited", message, retryAfter);
  if (response.status === 403) return new RequestFailure("forbidden", message, retryAfter);
  if (response.status >= 500) return new RequestFailure("server_error", message, retryAfter);
  const target = response.headers.get("location")?.slice(0, 200);
  return new RequestFailure(
    "http_error",
    target === undefined ? message : `${message}: redirected to ${target}`,
  );
}

function parse(text: string, response: Response): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const isHtml = /^\s*</.test(text) || /html/i.test(response.headers.get("content-type") ?? "");
    if (isHtml) {
      throw new RequestFailure("challenge", `HTTP ${response.status} with HTML instead of JSON`);
    }
    const excerpt = JSON.stringify(text.slice(0, 80));
    throw new RequestFailure(
      "invalid_json",
      `the body is not JSON (${text.length} characters): ${excerpt}`,
      undefined,
      {
        cause,
      },
    );
  }
}

/** What `fetch` throws: a time-out, else, for every fault of the network and of compression, a TypeError. */
function faultOnTheWay(error: unknown, timeoutSeconds: number): RequestFailure {
  const options = { cause: error };
  return error instanceof DOMException && error.name === "TimeoutError"
    ? new RequestFailure(
      "timeout",
      `no whole answer within ${timeoutSeconds} s`,
      undefined,
      options,
    )
    : new RequestFailure("connection", describe(error), undefined, options);
}
