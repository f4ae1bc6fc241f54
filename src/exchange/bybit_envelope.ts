import { AnswerError, idOf, isObject, type JsonObject, kindOf, oneLine, textOf } from "./answer.ts";

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
  if (!isObject(document)) {
    throw new AnswerError(
      "unexpected_shape",
      `the answer is ${kindOf(document)} instead of an object`,
    );
  }
  const code = idOf(document["ret_code"]) ?? idOf(document["retCode"]);
  if (code === undefined) throw new AnswerError("unexpected_shape", "the answer has no code");
  if (code !== "0") {
    const words = textOf(document["ret_msg"]) ?? textOf(document["retMsg"]) ?? "no message";
    throw new AnswerError(
      TOO_MANY.has(code) ? "rate_limited" : "refused",
      oneLine(`the exchange answered code ${code}: ${words}`),
    );
  }
  const { result } = document;
  if (isObject(result)) return result;
  throw new AnswerError("unexpected_shape", `result is ${kindOf(result)} instead of an object`);
}
