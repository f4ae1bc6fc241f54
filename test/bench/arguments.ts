import { UsageError } from "../../src/errors.ts";

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
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < least[name]) {
      throw new UsageError(`--${name} ${values[name]}: a whole number from ${least[name]} on`);
    }
    numbers[name] = value;
  }
  return numbers;
}
