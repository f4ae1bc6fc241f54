import { message } from "@optique/core/message";
import type { ValueParser } from "@optique/core/valueparser";
import { parseTime } from "../time.ts";

/** The value of an option that is a time. */
export function time(): ValueParser<"sync", Date> {
  return {
    mode: "sync",
    metavar: "TIME",
    placeholder: new Date(0),
    parse: (input) => {
      const value = parseTime(input);
      return value === undefined
        ? {
          success: false,
          error:
            message`Expected a time such as 2026-03-01 or 2026-03-01T10:20Z, but got ${input}.`,
        }
        : { success: true, value };
    },
    format: (value) => value.toISOString(),
  };
}
