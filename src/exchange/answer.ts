/** Why an answer that arrived whole and is JSON is still not what was asked for. */
export type AnswerProblem = "refused" | "rate_limited" | "unexpected_shape";

/** Thrown by an exchange's reader of answers. */
export class AnswerError extends Error {
  override readonly name = "AnswerError";

  constructor(readonly problem: AnswerProblem, message: string) {
    super(message);
  }
}

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * `value`, if it is an object.
 * @param what names it in the message, e.g. `the answer`
 * @throws {AnswerError} `unexpected_shape`
 */
export function requireObject(value: unknown, what: string): JsonObject {
  if (isObject(value)) return value;
  throw new AnswerError("unexpected_shape", `${what} is ${kindOf(value)} instead of an object`);
}

/** The elements of `value` that are objects; none where it is no array. */
export function objectsIn(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/** A non-empty string, without what PostgreSQL cannot hold (NUL, halves of a character); or undefined. */
export function textOf(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  return value.replaceAll("\0", "").toWellFormed() || undefined;
}

/** The code of a fiat or an asset, as exchanges write them; anything else is not asked for. */
export function codeOf(value: unknown): string | undefined {
  return typeof value === "string" && /^[A-Z0-9]{1,20}$/.test(value) ? value : undefined;
}

/** An identifier, which one exchange sends as text and another as a number. */
export function idOf(value: unknown): string | undefined {
  return typeof value === "number" ? String(value) : textOf(value);
}

/** A number of things that PostgreSQL's integer holds. */
export function countOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 2 ** 31
    ? value
    : undefined;
}

const LONGEST_MESSAGE = 300;

/** Whatever an exchange says goes into a log line and an error row: control characters do not. */
export function oneLine(text: string): string {
  // deno-lint-ignore no-control-regex
  const line = text.replace(/[\x00-\x1f\x7f-\x9f]+/g, " ");
  return line.length > LONGEST_MESSAGE ? `${line.slice(0, LONGEST_MESSAGE).toWellFormed()}…` : line;
}

/** A JSON value for messages: as JSON, or what it is where it nests so deep that JSON.stringify dies of it. */
export function shownValue(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch (error) {
    if (error instanceof RangeError) return kindOf(value);
    throw error;
  }
}

/** What a JSON value is, for messages. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (value === undefined) return "missing";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
