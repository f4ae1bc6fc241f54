/** Why an answer that arrived whole and is JSON is still not what was asked for. */
export type AnswerProblem = "refused" | "unexpected_shape";

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

/** The elements of `value` that are objects; none where it is no array. */
export function objectsIn(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/** A non-empty string, without what PostgreSQL cannot hold (NUL, halves of a character); or undefined. */
export function textOf(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  return value.replaceAll("\0", "").toWellFormed() || undefined;
}

/** What a JSON value is, for messages. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (value === undefined) return "missing";
  return Array.isArray(value) ? "a list" : `a ${typeof value}`;
}
