import {
  AnswerError,
  type JsonObject,
  oneLine,
  requireObject,
  shownValue,
  textOf,
} from "./answer.ts";

/**
 * The envelope of an answer, if it says success: HTTP 200 alone says nothing.
 * @throws {AnswerError} `refused` with the exchange's own code and message
 */
export function successful(document: unknown): JsonObject {
  const answer = requireObject(document, "the answer");
  const { code, success, message, messageDetail } = answer;
  if (code === "000000" && success !== false) return answer;
  if (code === undefined && success !== false) {
    throw new AnswerError("unexpected_shape", "the answer has no code");
  }
  const words = textOf(message) ?? textOf(messageDetail) ?? "no message";
  const shownCode = typeof code === "string" ? code : shownValue(code);
  throw new AnswerError(
    "refused",
    oneLine(`the exchange answered code ${shownCode}: ${words}`),
  );
}
