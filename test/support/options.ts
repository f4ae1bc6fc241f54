// deno-lint-ignore-file no-console
import { EXIT, UsageError } from "../../src/errors.ts";

/**
 * Options that are whole numbers, each with the least it may be.
 * @throws {UsageError} which option it is
 */
export function wholeNumbers<Name extends string>(
  values: Readonly<Partial<Record<NoInfer<Name>, string>>>,
  least: Readonly<Record<Name, number>>,
): Record<Name, number> {
  const numbers = {} as Record<Name, number>;
  for (const name of Object.keys(least) as Name[]) {
    const text = values[name] ?? "";
    const value = Number(text);
    if (!/^\d{1,9}$/.test(text) || value < least[name]) {
      throw new UsageError(
        `--${name} is a whole number from ${least[name]} on, not ${JSON.stringify(text)}`,
      );
    }
    numbers[name] = value;
  }
  return numbers;
}

/** Whether it is the command line: ours, or, of node's parseArgs, an option that there is not. */
export function isWrongCommandLine(error: unknown): error is Error {
  return error instanceof UsageError ||
    error instanceof Error && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
}

/** Reads a command line. A wrong one is told and ends with 64, so that a typing error is not taken for a green run. */
export function readOrExit<Options>(read: () => Options): Options {
  try {
    return read();
  } catch (error) {
    if (!isWrongCommandLine(error)) throw error;
    console.error(error.message);
    Deno.exit(EXIT.usage);
  }
}
