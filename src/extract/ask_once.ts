import { describeRequest } from "../errors.ts";
import type { HttpRequest } from "../exchange/exchange.ts";
import { anonymously } from "../tracing.ts";
import { VERSION } from "../version.ts";
import { type Body, readBody } from "./body.ts";
import { RequestFailure } from "./failure.ts";
import { retryAfterSeconds } from "./retry_after.ts";

export interface AskOptions {
  /** Body included. */
  readonly timeoutSeconds: number;
  readonly send: typeof fetch;
  /** Called when an answer begins, of whatever kind. */
  readonly onAnswer: () => void;
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
  return { document: parse(body.text, response), body, status: response.status };
}

async function receive(
  request: HttpRequest,
  { timeoutSeconds, send, onAnswer, signal }: AskOptions,
): Promise<{ response: Response; body: Body }> {
  const deadline = AbortSignal.timeout(timeoutSeconds * 1000);
  try {
    const asked: RequestInit = {
      method: request.method,
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      headers: {
        "accept": "application/json",
        "content-type": "application/json",
        "user-agent": `p2p-ingest/${VERSION}`,
      },
      redirect: "manual", // an offer comes from the exchange that was asked, or not at all
      signal: AbortSignal.any([signal, deadline]),
    };
    const response = await anonymously(() => send(request.url, asked));
    onAnswer();
    if (!response.ok) {
      await response.body?.cancel();
      throw withStatus(refusedByStatus(response), response);
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

function withStatus(failure: RequestFailure, { status }: Response): RequestFailure {
  failure.status = status;
  return failure;
}

function parse(text: string, response: Response): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const isHtml = /^\s*</.test(text) || /html/i.test(response.headers.get("content-type") ?? "");
    if (isHtml) {
      const message = `HTTP ${response.status} with HTML instead of JSON`;
      throw withStatus(new RequestFailure("challenge", message), response);
    }
    const excerpt = JSON.stringify(text.slice(0, 80));
    const message = `the body is not JSON (${text.length} characters): ${excerpt}`;
    throw withStatus(new RequestFailure("invalid_json", message, undefined, { cause }), response);
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
    : new RequestFailure("connection", describeRequest(error), undefined, options);
}
