import { describe, P2pError } from "../errors.ts";
import { logger } from "../log.ts";
import type { BatchOutcome } from "./batch.ts";
import type { DueTime } from "./batch_types.ts";

export interface ServiceOptions {
  /** Times at which batches are due, the newest that has passed; see `cronTicks`. */
  readonly ticks: AsyncIterable<Date>;
  readonly intervalSeconds: number;
  /** Before a batch: whatever it cannot do without. */
  readonly prepare: (due: DueTime) => Promise<void>;
  readonly batch: (due: DueTime) => Promise<BatchOutcome>;
  /** After a batch: what can wait for a quiet moment. */
  readonly afterwards: () => Promise<void>;
  /** What went wrong at a tick. */
  readonly failed?: (error: P2pError) => void;
  /** Whether no batch can come any more. */
  readonly isOver: () => Promise<boolean>;
  readonly signal: AbortSignal;
  /** Milliseconds since 1970. */
  readonly wallTime?: () => number;
}

const log = logger("run");

/**
 * Works on a batch at every tick, until stopped. What goes wrong is logged, and the next tick tries again: also where a
 * function is missing, which its DBA may be changing at this moment.
 * @throws bugs; anything, once no batch can come any more
 */
export async function serve(options: ServiceOptions): Promise<void> {
  const { ticks, intervalSeconds, isOver, signal, wallTime = Date.now } = options;
  let isPaused = false;
  for await (const at of ticks) {
    if (signal.aborted) return;
    try {
      const paused = await serveTick({ at, intervalSeconds }, options);
      if (paused !== undefined && !isPaused) {
        log.warning("no new batch is begun", {
          reason: paused,
          ended_by: "update p2p.settings set value = 'off' where name = 'paused'",
        });
      }
      isPaused = paused !== undefined;
    } catch (error) {
      if (signal.aborted && isAbort(error)) return;
      if (!(error instanceof P2pError)) throw error;
      if (await isOver()) throw error;
      options.failed?.(error);
      log.error("the batch failed: {reason}", { reason: describe(error) });
    }
    const next = at.getTime() + intervalSeconds * 1000;
    if (!isPaused && !signal.aborted && next > wallTime()) {
      log.info("next batch at {due}", { due: new Date(next).toISOString() });
    }
  }
}

/**
 * Everything there is to do at one due time: a batch that was left under way is ended first.
 * @returns why batches are paused, if they are
 */
async function serveTick(due: DueTime, options: ServiceOptions): Promise<string | undefined> {
  const { prepare, batch, afterwards, signal } = options;
  await prepare(due);
  // Also where it was told to stop meanwhile: another may have opened the next batch, and gone because we were still here.
  for (let goesOn = !signal.aborted; goesOn;) {
    const outcome = await batch(due);
    goesOn = outcome.outcome === "loaded" ||
      outcome.outcome === "left" && outcome.ended !== undefined;
    if (outcome.outcome === "paused") return `new batches are ${outcome.detail}`;
    if (outcome.outcome === "late") {
      log.warning("the batch of {due} is skipped: {reason}", {
        due: due.at.toISOString(),
        reason: outcome.detail,
      });
    }
  }
  if (!signal.aborted) await afterwards();
  return undefined;
}

function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
