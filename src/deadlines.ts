/**
 * Every wait for something outside this process, in one place. A server-side timeout never reaches a
 * half-open connection, so each of these is kept by the client.
 */
export const DEADLINES = {
  /** Reaching a database across a continent takes < 1 s; after 10 the host is not there. */
  connectSeconds: 10,
  /** Reading a few rows, claiming markets. */
  statementSeconds: 30,
  /** What the status page shows is made in milliseconds; who looks at it does not wait longer. */
  pageSeconds: 4,
  /** A heartbeat that takes longer is tried anew: the next one is due. */
  beatSeconds: 4,
  /** What /metrics and /readyz tell of the database; Prometheus waits 10 s for all of it. */
  figuresSeconds: 2,
  /** Whether a database that did not answer that is there at all. */
  reachSeconds: 1,
  /** Ten pages, 600 KB: milliseconds. Long enough for a disk that stalls while it checkpoints. */
  storeSeconds: 60,
  /** 50,000 offers load in 3 s. This is for a slow disk and ten times the market. */
  loadSeconds: 300,
  /** A dry run beside its loads: a snapshot before, the comparison after. */
  previewSeconds: 300,
  /** One window of a continuous aggregate: a day of 7 million offers is refreshed in half a minute. */
  refreshWindowSeconds: 600,
  /** All windows that a replay touched; what is left then is for the policies. */
  refreshSeconds: 3600,
  /** A migration may rewrite tables. */
  migrateSeconds: 3600,
  /** One look of `status --watch`; then it says that nothing came, and asks again. */
  watchSeconds: 5,
  /** One attempt to deliver an alert. */
  alertSeconds: 10,
  /** A person's own statement in `query`. */
  querySeconds: 300,
  /** A service on this machine that does not say how it is within this is stuck. */
  healthSeconds: 3,
  /** Saying goodbye to the server; then the sockets are closed. */
  disconnectSeconds: 2,
} as const;

/** A worker says this often that it lives; silent for `leaseSeconds` it is dead, and others take its markets. */
export const LEASE = { leaseSeconds: 15, renewSeconds: 4 } as const;

/** How often each worker asks the database what people should know of. */
export const WATCH = { everySeconds: 10 } as const;

/** How long something is put up with before it is given up. */
export const PATIENCE = {
  /** Pages in hand when fetching ends; an exchange that answers at all does so within a second. */
  pageSeconds: 2,
  /** An exchange to which nothing may be sent (its breaker is open), before the batch goes on without it. */
  closedExchangeSeconds: 60,
  /** A lost database, where there is no window to wait for. */
  databaseSeconds: 10,
  /** A lost database, once the worker was told to stop. */
  stoppingSeconds: 3,
  /** A worker whose beats do not come round any more is stuck: the watchdog may end it. A lost database delays none. */
  stuckSeconds: 60,
  /** Alerts that wait to be delivered, once the worker was told to stop. */
  deliverySeconds: 5,
  /** Between looks at what the other workers of a batch do. */
  pollSeconds: 1,
} as const;
