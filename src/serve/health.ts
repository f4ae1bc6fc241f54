import type { Routes } from "./http_server.ts";

/** Something that must be so. */
export interface Check {
  readonly check: string;
  readonly isOk: boolean;
  readonly why: string;
}

export interface HealthSource {
  /** Whether the process works; else it is best started anew. */
  readonly isAlive: () => readonly Check[];
  /** Whether its data is to be relied on. */
  readonly isReady: () => Promise<readonly Check[]>;
}

/** `/healthz` and `/readyz`: 200 or 503, and each check with its reason as JSON. */
export function healthRoutes({ isAlive, isReady }: HealthSource): Routes {
  return {
    "/healthz": () => answer(isAlive()),
    "/readyz": async () => answer([...isAlive(), ...await isReady()]),
  };
}

function answer(checks: readonly Check[]): Response {
  const isOk = checks.every((check) => check.isOk);
  return Response.json(
    {
      ok: isOk,
      checks: Object.fromEntries(checks.map(({ check, isOk, why }) => [check, { ok: isOk, why }])),
    },
    { status: isOk ? 200 : 503, headers: { "cache-control": "no-store" } },
  );
}
