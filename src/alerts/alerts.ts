import { PATIENCE, WATCH } from "../deadlines.ts";
import { describe } from "../errors.ts";
import type { Clock } from "../extract/clock.ts";
import { logger } from "../log.ts";
import type { Alert, AlertSink, ProcessAlertKind } from "./alert.ts";
import type { IncidentStore } from "./incident_store.ts";

/** An incident of this process. */
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
      try {
        for (const alert of await store.watch()) this.#tell(alert);
      } catch (error) {
        log.debug("the database was not asked for incidents", { error: describe(error) });
      }
    }
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
    this.#tell({ kind, subject: "", message, isOver: false, since, lastedSeconds: undefined });
  }

  #tellEnd(kind: ProcessAlertKind, message: string, { since }: OwnIncident): void {
    const lastedSeconds = (Date.now() - since.getTime()) / 1000;
    this.#tell({ kind, subject: "", message, isOver: true, since, lastedSeconds });
  }

  #tell(alert: Alert): void {
    for (const send of this.sinks) send(alert);
  }
}

const log = logger("alert");
