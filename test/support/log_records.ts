import { configure, type LogLevel, type LogRecord, reset } from "@logtape/logtape";

/** What is logged until the end of its scope, by the whole program or one part of it. */
export async function recordLog(
  lowestLevel: LogLevel,
  part?: string,
): Promise<AsyncDisposable & { readonly records: readonly LogRecord[] }> {
  const records: LogRecord[] = [];
  await configure({
    reset: true,
    sinks: { list: (record) => void records.push(record) },
    loggers: [
      { category: ["logtape", "meta"], sinks: [] },
      { category: part === undefined ? ["p2p"] : ["p2p", part], lowestLevel, sinks: ["list"] },
    ],
  });
  return { records, [Symbol.asyncDispose]: () => reset() };
}
