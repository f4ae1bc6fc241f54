import { PATIENCE, WATCH } from "../deadlines.ts";
import { describe } from "../errors.ts";
import type { Clock } from "../extract/clock.ts";
import { logger } from "../log.ts";
import type { Alert, AlertSink, ProcessAlertKind } from "./alert.ts";
import { activeContext, ROOT_CONTEXT, within } from "../tracing.ts";
import type { IncidentStore, News } from "./incident_store.ts";

/** An incident that this process has seen itself. */
interface OwnIncident {
  readonly message: string;
  readonly since: Date;
  /** Whether people were told by this process: another worker may have been first. */
  isTold: boolean;
  isWritten: boolean;
}

/**
 * Tells people of incidents: once when one begins, once when it is over. What the database can see it decides, for all
 * workers; this asks it every few seconds. What it cannot see (that it is away, that its disk is full) is raised here,
 * remembered meanwhile, and written down when it takes something again. Nobody who raises waits for anything.
 */
export class Alerts implements AsyncDisposable {
  readonly #open = new Map<ProcessAlertKind, OwnIncident>();
  readonly #ended = new AbortController();
  #asked = Promise.withResolvers<void>();
  #isAsked = false;
  readonly #watching: Promise<void>;
  /** What the database gave this process to tell, by number and whether it is over: it says so until it hears of it. */
  readonly #taken = new Set<string>();
  /** Told, and not yet written down. */
  #settled: News[] = [];
  /** Where the last news may come from. */
  #askedFrom = activeContext();
  /** What is being written down, one after the other. */
  #writing: Promise<void> = Promise.resolve();

  /** @param store without it, all is in this process */
  constructor(
    readonly sinks: readonly AlertSink[],
    readonly clock: Clock,
    readonly store?: IncidentStore,
  ) {
    this.#watching = store === undefined ? Promise.resolve() : this.#watch(store);
  }

  raise(kind: ProcessAlertKind, message: string): void {
    if (this.#open.has(kind)) return;
    const incident = { message, since: new Date(), isTold: false, isWritten: false };
    this.#open.set(kind, incident);
    // Who is lost cannot be asked whether others have told it.
    if (this.store === undefined || kind === "database_lost") this.#tellBegin(kind, incident);
    else this.#writing = this.#writing.then(() => this.#writeBegin(kind, incident));
  }

  /** Says that it is over, where this process raised it. */
  resolve(kind: ProcessAlertKind, message: string): void {
    const incident = this.#open.get(kind);
    if (incident === undefined) return;
    this.#open.delete(kind);
    if (this.store === undefined) this.#tellEnd(kind, message, incident);
    else this.#writing = this.#writing.then(() => this.#writeEnd(kind, message, incident));
  }

  /** Something has happened that the database may want to tell of: it is asked soon. */
  look(): void {
    this.#askedFrom = activeContext();
    this.#isAsked = true;
    this.#asked.resolve();
  }

  /** Asks once more where there may be news, but waits only a moment. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    const enough = new AbortController();
    const patience = this.clock.sleep(PATIENCE.stoppingSeconds * 1000, enough.signal);
    await Promise.race([
      Promise.all([this.#watching, this.#writing]),
      patience.catch(() => {}),
    ]);
    enough.abort();
  }

  async #watch(store: IncidentStore): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted || this.#isAsked) {
      if (!this.#isAsked) await this.#pause();
      if (signal.aborted && !this.#isAsked) return;
      this.#isAsked = false;
      this.#asked = Promise.withResolvers();
      const from = this.#askedFrom;
      this.#askedFrom = ROOT_CONTEXT;
      try {
        await this.confirm();
        for (const news of await store.watch()) within(from, () => this.#take(news));
      } catch (error) {
        log.debug("the database was not asked for incidents", { error: describe(error) });
      }
    }
  }

  /** Writes down what people were told, so that no other worker tells it; what fails is tried again. */
  confirm(): Promise<void> {
    return this.#writing = this.#writing.then(async () => {
      const settled = this.#settled;
      if (settled.length === 0) return;
      this.#settled = [];
      try {
        await this.store?.told(settled);
      } catch (error) {
        this.#settled.unshift(...settled);
        log.debug("that people were told could not be written down", { error: describe(error) });
      }
    });
  }

  #take(news: News): void {
    const key = `${news.incidentId} ${news.isOver}`;
    if (this.#taken.has(key)) return;
    this.#taken.add(key);
    this.#tell(news).then((isSettled) => {
      if (!isSettled) return;
      this.#settled.push(news);
      if (!this.#ended.signal.aborted) void this.confirm();
    });
  }

  async #pause(): Promise<void> {
    const asked = new AbortController();
    const either = AbortSignal.any([this.#ended.signal, asked.signal]);
    const waiting = this.clock.sleep(WATCH.everySeconds * 1000, either).catch(() => {});
    await Promise.race([waiting, this.#asked.promise]);
    asked.abort();
    await waiting;
  }

  async #writeBegin(kind: ProcessAlertKind, incident: OwnIncident): Promise<void> {
    let isNews = true;
    try {
      isNews = await this.store?.begin(kind, incident) ?? true;
      incident.isWritten = true;
    } catch (error) {
      log.debug("an incident could not be written down", { kind, error: describe(error) });
    }
    if (isNews) this.#tellBegin(kind, incident);
  }

  async #writeEnd(kind: ProcessAlertKind, message: string, incident: OwnIncident): Promise<void> {
    if (!incident.isWritten && incident.isTold) this.#tellEnd(kind, message, incident);
    try {
      if (!incident.isWritten) await this.store?.beginAndEnd(kind, incident, message);
      else if (await this.store?.end(kind, message)) this.#tellEnd(kind, message, incident);
    } catch (error) {
      log.debug("the end of an incident could not be written down", {
        kind,
        error: describe(error),
      });
      if (incident.isWritten && incident.isTold) this.#tellEnd(kind, message, incident);
    }
  }

  #tellBegin(kind: ProcessAlertKind, incident: OwnIncident): void {
    const { message, since } = incident;
    incident.isTold = true;
    void this.#tell({ kind, subject: "", message, isOver: false, since, lastedSeconds: undefined });
  }

  #tellEnd(kind: ProcessAlertKind, message: string, { since }: OwnIncident): void {
    const lastedSeconds = (Date.now() - since.getTime()) / 1000;
    void this.#tell({ kind, subject: "", message, isOver: true, since, lastedSeconds });
  }

  /** @returns whether nobody needs to be told again */
  async #tell(alert: Alert): Promise<boolean> {
    const settled = await Promise.all(this.sinks.map((send) => send(alert)));
    return !settled.includes(false);
  }
}

const log = logger("alert");
