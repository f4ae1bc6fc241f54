import type { IncomingMessage, ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import type { Fault } from "./fault.ts";
import type { Personality } from "./personality.ts";

/** Faults of the transfer or of the whole answer, as opposed to those of single offers. */
export type AnswerFault = Exclude<Fault, { kind: "malformedOffers" | "awkwardOffers" }>;

const JSON_TYPE = "application/json";
const CHUNK = 64 * 1024;
const encoder = new TextEncoder();

/** Whether the client takes gzip. */
export function acceptsGzip(request: IncomingMessage): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/.test(
    String(request.headers["accept-encoding"] ?? ""),
  );
}

/** Sends a whole answer. */
export function send(
  response: ServerResponse,
  status: number,
  body: string | Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): void {
  const bytes = typeof body === "string" ? encoder.encode(body) : body;
  response.writeHead(status, {
    "content-type": JSON_TYPE,
    "content-length": bytes.length,
    ...headers,
  });
  response.end(bytes);
}

function html(title: string, text: string): string {
  return `<!DOCTYPE html>\n<html lang="en"><head><title>${title}</title></head><body><h1>${title}</h1><p>${text}</p></body></html>\n`;
}

function sendHtml(
  response: ServerResponse,
  status: number,
  title: string,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  send(response, status, html(title, text), {
    "content-type": "text/html",
    "x-cache": "Error from cdn",
    ...headers,
  });
}

/** 429 as the CDN in front of the exchange says it: no JSON. */
export function sendTooMany(response: ServerResponse, retryAfterSeconds?: number): void {
  sendHtml(
    response,
    429,
    "429 ERROR",
    "Request blocked. Too many requests.",
    retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) },
  );
}

/** Sends the beginning of an answer and then ends the connection. */
function sendCut(response: ServerResponse, body: string, chunked: boolean): void {
  const bytes = encoder.encode(body);
  const length = chunked ? {} : { "content-length": bytes.length };
  response.writeHead(200, { "content-type": JSON_TYPE, ...length });
  response.write(bytes.subarray(0, bytes.length >> 1), () => response.socket?.destroy());
}

/** Sends an answer in 20 pieces. */
function trickle(response: ServerResponse, body: string, overMs: number): void {
  const bytes = encoder.encode(body);
  const step = Math.max(1, Math.ceil(bytes.length / 20));
  response.writeHead(200, { "content-type": JSON_TYPE, "content-length": bytes.length });
  let sent = 0;
  const timer = setInterval(() => {
    response.write(bytes.subarray(sent, sent + step));
    sent += step;
    if (sent < bytes.length) return;
    clearInterval(timer);
    response.end();
  }, overMs / 20);
  response.once("close", () => clearInterval(timer));
}

/** Sends a document that is too large, made as fast as the client takes it, until it has enough. */
function flood(
  response: ServerResponse,
  [before, after]: Personality["endless"],
  limit: number,
): void {
  response.writeHead(200, { "content-type": JSON_TYPE });
  const chunk = encoder.encode(`${" ".repeat(CHUNK - 1)}\n`);
  let sent = 0;
  let open = true;
  response.once("close", () => open = false);
  const more = (): void => {
    while (open && sent < limit) {
      sent += CHUNK;
      if (!response.write(chunk)) {
        response.once("drain", more);
        return;
      }
    }
    if (open) response.end(after);
  };
  response.write(before);
  more();
}

/**
 * Answers a request in a way that it should not be answered.
 * @param usual the JSON text that would have been the answer
 * @param number counts requests: variants that are not told take turns by it
 */
export function misbehave(
  request: IncomingMessage,
  response: ServerResponse,
  fault: AnswerFault,
  personality: Personality,
  usual: () => string,
  number: number,
): void {
  switch (fault.kind) {
    case "tooManyRequests":
      return sendTooMany(response, fault.retryAfterSeconds);
    case "forbidden":
      return sendHtml(response, 403, "403 ERROR", "Access is not possible from your country.");
    case "serverError": {
      const status = fault.status ?? [500, 502, 503][number % 3] ?? 500;
      return sendHtml(
        response,
        status,
        `${status} ERROR`,
        "The origin did not answer as it should.",
      );
    }
    case "challenge":
      return sendHtml(
        response,
        fault.status ?? (number % 2 === 0 ? 200 : 202),
        "Human Verification",
        "Confirm that you are human. <script>challenge()</script>",
      );
    case "truncated": {
      const how = fault.how ?? (["contentLength", "chunked", "json", "gzip"] as const)[number % 4];
      const text = usual();
      if (how === "json") return send(response, 200, text.slice(0, text.length >> 1));
      if (how !== "gzip" || !acceptsGzip(request)) {
        return sendCut(response, text, how === "chunked");
      }
      const whole = gzipSync(text, { level: 1 });
      return send(response, 200, whole.subarray(0, whole.length >> 1), {
        "content-encoding": "gzip",
      });
    }
    case "notJson":
      return send(response, 200, "service temporarily unavailable");
    case "reset":
      request.socket.destroy();
      return;
    case "timeout":
      // No answer ever: the client hangs up, or the simulator is closed.
      return;
    case "slow":
      return trickle(response, usual(), fault.overMs ?? 2_000);
    case "refused":
      return send(
        response,
        200,
        personality.refusal(fault.code ?? "000001", fault.message ?? "System abnormality"),
      );
    case "wrongShape":
      return send(
        response,
        200,
        personality.wrongShape(
          fault.how ?? (["null", "object", "string", "missing"] as const)[number % 4] ?? "null",
        ),
      );
    case "oversized":
      return flood(response, personality.endless, fault.bytes ?? 64 * 1024 * 1024);
  }
}
