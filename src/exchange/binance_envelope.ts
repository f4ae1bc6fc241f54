import { AnswerError, isObject, type JsonObject, kindOf, textOf } from "./answer.ts";

const LONGEST_MESSAGE = 300;

/**
 * The envelope of an answer, if it says success: HTTP 200 alone says nothing.
 * @throws {AnswerError} `refused` with the exchange's own code and message
 */
export function successful(document: unknown): JsonObject {
  if (!isObject(document)) {
    throw new AnswerError(
      "unexpected_shape",
      `the answer is ${kindOf(document)} instead of an object`,
    );
  }
  const { code, success, message, messageDetail } = document;
  if (code === "000000" && success !== false) return document;
  if (code === undefined && success !== false) {
    throw new AnswerError("unexpected_shape", "the answer has no code");
  }
  const words = textOf(message) ?? textOf(messageDetail) ?? "no message";
  const shownCode = typeof code === "string" ? code : JSON.stringify(code);
  throw new AnswerError(
    "refused",
    oneLine(`the exchange answered code ${shownCode}: ${words}`),
  );
}

/** Whatever the exchange says goes into a log line and an error row: control characters do not. */
function oneLine(text: string): string {
  // deno-lint-ignore no-control-regex
  const line = text.replace(/[\x00-\x1f\x7f-\x9f]+/g, " ");
  return line.length > LONGEST_MESSAGE ? `${line.slice(0, LONGEST_MESSAGE).toWellFormed()}…` : line;
}
