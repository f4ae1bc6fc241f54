import { AnswerError, idOf, type JsonObject, oneLine, requireObject, textOf } from "./answer.ts";

/**
 * "Too many visits" and "Exceeded the IP Rate Limit", in a body of HTTP 200: codes of Bybit's v5 API
 * (bybit-exchange/docs, docs/v5/error.mdx). That the P2P calls use them too was never seen.
 */
const TOO_MANY = new Set(["10006", "10018"]);

/**
 * `result` of an answer that says success: code 0. Recordings of the P2P calls have `ret_code` and `ret_msg`; the rest
 * of Bybit's API says `retCode` and `retMsg`, so either is taken.
 * @throws {AnswerError} `refused` or `rate_limited` with the exchange's own code and message
 */
export function resultOf(document: unknown): JsonObject {
  const answer = requireObject(document, "the answer");
  const code = idOf(answer["ret_code"]) ?? idOf(answer["retCode"]);
  if (code === undefined) throw new AnswerError("unexpected_shape", "the answer has no code");
  if (code !== "0") {
    const words = textOf(answer["ret_msg"]) ?? textOf(answer["retMsg"]) ?? "no message";
    throw new AnswerError(
      TOO_MANY.has(code) ? "rate_limited" : "refused",
      oneLine(`the exchange answered code ${code}: ${words}`),
    );
  }
  return requireObject(answer["result"], "result");
}
