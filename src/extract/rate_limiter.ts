import type { RememberedAccess } from "./access.ts";
import { Chance } from "./chance.ts";
import type { Clock } from "./clock.ts";
import { MinuteCount } from "./minute_count.ts";

/** All per minute but `burst`, which is a number of requests. */
export interface RateOptions {
  /** Where nothing is remembered; also how fast the rate grows in a minute while no ceiling is known. */
  readonly initialPerMinute: number;
  readonly minPerMinute: number;
  readonly maxPerMinute: number;
  /** At most so many at once. */
  readonly burst: number;
  /** A refusal multiplies the rate by this, between 0 and 1. */
  readonly backoffFactor: number;
}

/** The right to send one request; given back with its outcome. */
export interface Permit {
  /** From 1, in the order of sending. */
  readonly number: number;
  readonly sentAt: number;
  /** It had to wait for the rate. What is sent out of the burst says nothing about the rate, well or ill. */
  readonly waited: boolean;
}

/** From the first refusal to the first success of a request that was sent after it. */
interface Incident {
  readonly began: number;
  refusals: number;
  /** Where the rate returns to at once, when the incident is put down to chance. */
  readonly rateBefore: number | undefined;
  /** The ceiling is not put lower than this by one incident; undefined where it is left alone. */
  readonly lowestCeiling: number | undefined;
}

/** Below the ceiling by so much, it is safe. */
const SAFE_SHARE = 0.95;
/** What is refused below this share of the ceiling says how much is refused by chance. */
const CERTAIN_SHARE = 0.97;
/** Passed by so much, it was none: it is forgotten. */
const DISPROVED_SHARE = 1.05;
/** Growth in a minute, as a share of the ceiling: back to the safe rate, and on from there. */
const RETURN_SHARE = 2;
const PROBE_SHARE = 0.02;
/** How long the safe rate is kept after an incident: so many times what that cost, within these bounds. */
const HOLD_TIMES = 20;
const MIN_HOLD_SECONDS = 300;
const MAX_HOLD_SECONDS = 6 * 3600;
/** Pause after a refusal, unless `Retry-After` asks for more; doubles with each further one. */
const PAUSE_SECONDS = 1;
/** The same where it is put down to chance. */
const CHANCE_PAUSE_SECONDS = 0.25;
const MAX_PAUSE_SECONDS = 10;
/** What was learned counts half after this. */
const HALF_LIFE_SECONDS = 24 * 3600;

/**
 * One rate for all requests of the process to one exchange: a token bucket of `burst`, and no 60 s with more than the
 * rate. The rate moves between `minPerMinute` and `maxPerMinute`; docs/rate.md tells how.
 */
export class RateLimiter {
  #rate: number;
  #ceiling: number | undefined;
  /** Halved when a burst was refused. */
  #burst: number;
  #tokens: number;
  #refilledAt: number;
  #pausedUntil = 0;
  readonly #minute = new MinuteCount();
  readonly #chance = new Chance();
  #permits = 0;
  /** The last permit before the rate was cut: refusals of it and of those before are part of that incident. */
  #cutAfter = 0;
  #incident: Incident | undefined;
  #holdUntil = 0;
  /** Takers wait for one another, so that they are served in order. */
  #line: Promise<void> = Promise.resolve();

  constructor(readonly options: RateOptions, readonly clock: Clock, remembered?: RememberedAccess) {
    this.#rate = options.initialPerMinute;
    this.#burst = options.burst;
    this.#tokens = options.burst;
    this.#refilledAt = clock.now();
    if (remembered !== undefined) this.#recall(remembered);
  }

  get ratePerMinute(): number {
    return this.#rate;
  }

  get ceilingPerMinute(): number | undefined {
    return this.#ceiling;
  }

  /** What is left of a pause. */
  get pausedSeconds(): number {
    return Math.max(0, this.#pausedUntil - this.clock.now()) / 1000;
  }

  /**
   * Waits until a request may be sent. Rejects with the signal's reason when that comes first; who stands
   * behind others in the line learns of it when its turn comes, and takes nothing.
   */
  take(signal?: AbortSignal): Promise<Permit> {
    const turn = this.#line.then(() => this.#takeInTurn(signal));
    this.#line = turn.then(() => {}, () => {});
    return turn;
  }

  /** Sends nothing for so long, and no burst after it. */
  pause(seconds: number): void {
    if (seconds <= 0) return;
    this.#pausedUntil = Math.max(this.#pausedUntil, this.clock.now() + seconds * 1000);
    this.dropBurst();
  }

  /** The next requests go out one by one. */
  dropBurst(): void {
    const now = this.clock.now();
    this.#refill(now);
    this.#tokens = Math.min(this.#tokens, 1);
    this.#refilledAt = Math.max(now, this.#pausedUntil);
  }

  /** The exchange answered what was asked. */
  accepted(permit: Permit): void {
    const now = this.clock.now();
    if (this.#incident !== undefined && permit.number > this.#cutAfter) {
      this.#endIncident(this.#incident, now);
    }
    if (!permit.waited || this.#incident !== undefined) return;
    this.#chance.accepted(this.#rate, this.#isBelowCeiling);
    this.#grow(now);
  }

  /**
   * The exchange refused (429, 403, challenge), for the rate or for what it thinks of us: the rate is cut, and
   * everything pauses.
   * @returns whether that is news: not for a request that was on its way when the rate was cut already
   */
  refused(permit: Permit, retryAfterSeconds?: number): boolean {
    this.#minute.remove(permit.sentAt, this.clock.now());
    const isNews = this.#cut(permit);
    if (isNews) {
      const doublings = (this.#incident?.refusals ?? 1) - 1;
      const first = this.#incident?.rateBefore === undefined ? PAUSE_SECONDS : CHANCE_PAUSE_SECONDS;
      this.pause(Math.min(first * 2 ** doublings, MAX_PAUSE_SECONDS));
    }
    if (retryAfterSeconds !== undefined) this.pause(retryAfterSeconds);
    return isNews;
  }

  /** No whole answer in time: perhaps too much was asked. */
  timedOut(permit: Permit): void {
    this.#cut(permit);
  }

  /** @returns false where the rate was cut after this request had been sent */
  #cut(permit: Permit): boolean {
    if (permit.number <= this.#cutAfter) return false;
    this.#cutAfter = this.#permits;
    this.dropBurst();
    const now = this.clock.now();
    if (this.#incident === undefined) {
      const before = this.#rate;
      const isChance = this.#chance.refused(before, permit.waited && this.#isBelowCeiling);
      this.#rate = this.#clamped(before * this.options.backoffFactor);
      const isLimit = permit.waited && !isChance;
      if (isLimit) this.#ceiling = before;
      else if (!isChance) this.#burst = Math.max(1, Math.floor(this.#burst / 2));
      this.#incident = {
        began: now,
        refusals: 0,
        rateBefore: isChance ? before : undefined,
        lowestCeiling: isLimit ? this.#rate : undefined,
      };
    }
    const { lowestCeiling } = this.#incident;
    this.#incident.refusals++;
    if (lowestCeiling !== undefined && this.#ceiling !== undefined) {
      // What the exchange took within the last minute is the best measure of what it takes in a minute.
      const taken = Math.max(this.#minute.total(now), lowestCeiling);
      this.#ceiling = Math.min(this.#ceiling, taken);
    }
    return true;
  }

  #endIncident({ began, rateBefore }: Incident, now: number): void {
    this.#incident = undefined;
    if (rateBefore !== undefined) {
      this.#rate = rateBefore;
      return;
    }
    const hold = HOLD_TIMES * (now - began) / 1000;
    const seconds = Math.min(Math.max(hold, MIN_HOLD_SECONDS), MAX_HOLD_SECONDS);
    this.#holdUntil = Math.max(this.#holdUntil, now + seconds * 1000);
  }

  get #isBelowCeiling(): boolean {
    return this.#rate < CERTAIN_SHARE * (this.#ceiling ?? 0);
  }

  #grow(now: number): void {
    const ceiling = this.#ceiling;
    if (ceiling === undefined) return this.#raise(this.options.initialPerMinute, Infinity);
    const safe = SAFE_SHARE * ceiling;
    if (this.#rate < safe) return this.#raise(RETURN_SHARE * ceiling, safe);
    if (now < this.#holdUntil) return;
    this.#raise(PROBE_SHARE * ceiling, Infinity);
    if (this.#rate > DISPROVED_SHARE * ceiling) this.#ceiling = undefined;
  }

  /** Called for each request, and so `rate` times a minute: that makes `perMinute` in a minute. */
  #raise(perMinute: number, most: number): void {
    this.#rate = this.#clamped(Math.min(this.#rate + perMinute / this.#rate, most));
  }

  #clamped(rate: number): number {
    const { minPerMinute, maxPerMinute } = this.options;
    return Math.min(Math.max(rate, minPerMinute), maxPerMinute);
  }

  /** What was learned long ago counts less: the limit may be another one by now. */
  #recall({ ratePerMinute, ceilingPerMinute, secondsAgo }: RememberedAccess): void {
    const weight = 0.5 ** (Math.max(0, secondsAgo) / HALF_LIFE_SECONDS);
    const { initialPerMinute } = this.options;
    this.#rate = this.#clamped(initialPerMinute + (ratePerMinute - initialPerMinute) * weight);
    if (weight >= 0.5) this.#ceiling = ceilingPerMinute;
    if (secondsAgo < 60) this.dropBurst(); // the exchange still counts what the process before has sent
  }

  async #takeInTurn(signal?: AbortSignal): Promise<Permit> {
    let waited = false;
    for (;;) {
      signal?.throwIfAborted();
      const now = this.clock.now();
      this.#refill(now);
      const pause = this.#pausedUntil - now;
      const wait = Math.max(this.#untilToken(), this.#untilMinuteHasRoom(now));
      if (pause <= 0 && wait <= 0) {
        this.#tokens -= 1;
        this.#minute.add(now);
        return { number: ++this.#permits, sentAt: now, waited };
      }
      waited ||= pause <= 0;
      await this.clock.sleep(Math.max(pause, wait, 1), signal);
    }
  }

  #untilToken(): number {
    return this.#tokens >= 1 ? 0 : (1 - this.#tokens) * 60_000 / this.#rate;
  }

  /** A burst must not come on top of a full minute. Right after a cut the minute may hold what is safe. */
  #untilMinuteHasRoom(now: number): number {
    const safe = this.#incident?.rateBefore ?? this.#clamped(SAFE_SHARE * (this.#ceiling ?? 0));
    const most = Math.max(this.#rate, safe);
    return this.#minute.total(now) < most ? 0 : this.#minute.nextChange(now) - now;
  }

  #refill(now: number): void {
    if (now <= this.#refilledAt) return;
    const tokens = this.#tokens + (now - this.#refilledAt) * this.#rate / 60_000;
    this.#tokens = Math.min(this.#burst, tokens);
    this.#refilledAt = now;
  }
}
