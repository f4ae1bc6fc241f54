import { logger } from "../log.ts";
import { lengthOfTime } from "../time.ts";
import type { Alert } from "./alert.ts";

/** An `error` line when it begins, an `info` line when it is over, in category `alert`. */
export function logSink({ kind, subject, message, isOver, lastedSeconds }: Alert): void {
  const log = logger("alert");
  const line = `${kind}: ${message}`.replace(/[{}]/g, "$&$&"); // braces would be places for values
  const properties = {
    ...(subject === "" ? {} : { subject }),
    ...(lastedSeconds === undefined ? {} : { lasted: lengthOfTime(lastedSeconds) }),
  };
  if (isOver) log.info(line, properties);
  else log.error(line, properties);
}
