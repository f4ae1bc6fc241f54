import { statfs } from "node:fs/promises";
import type { Config } from "../config.ts";
import type { Database } from "../database/connection.ts";
import { DEADLINES } from "../deadlines.ts";
import { describe } from "../errors.ts";
import { readBody } from "../extract/body.ts";
import { workerName } from "./environment.ts";
import { bad, type Finding, ok, warning } from "./finding.ts";
import { serviceUrl } from "./health.ts";

/** Whether the port of metrics and page answers, where the service runs on this machine, or is free for it. */
export async function examinePort(config: Config, database: Database): Promise<Finding[]> {
  const port = config.PROMETHEUS_PORT;
  if (!config.ENABLE_METRICS || port === 0) return [];
  const rows = await database.run(
    "select from p2p.live_workers() where worker_name = $1 and purpose = 'run' limit 1",
    [workerName(config)],
    DEADLINES.statementSeconds,
  );
  return [rows.length > 0 ? await askService(`${serviceUrl(config)}/healthz`) : tryPort(port)];
}

async function askService(url: string): Promise<Finding> {
  try {
    const response = await fetch(url, {
      signal: AbortSignal.timeout(DEADLINES.connectSeconds * 1000),
      redirect: "manual",
    });
    const { text } = await readBody(response);
    if (response.ok) return ok("service", `the service of this machine is well: ${url}`);
    return bad(
      "service",
      `${url} says HTTP ${response.status}: ${text.slice(0, 200)}`,
      "its log says why: journalctl -u p2p-ingest",
    );
  } catch (error) {
    return warning(
      "service",
      `a worker of this machine runs, and ${url} does not answer: ${describe(error)}`,
      "PROMETHEUS_PORT must be the same here and there; its log says whether the port was taken",
    );
  }
}

function tryPort(port: number): Finding {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return ok("service", `port ${port} is free for metrics and page`);
  } catch (error) {
    return warning(
      "service",
      `port ${port} cannot be had for metrics and page: ${describe(error)}`,
      `PROMETHEUS_PORT=… another one; ss -ltnp says who has ${port}`,
    );
  }
}

/** A day of the full market in plain tables takes about 5 GB. */
const DAY_BYTES = 5e9;

/** Room of the embedded database; of another server nobody can tell from here. */
export async function examineDisk(dataDir: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(dataDir);
  return diskFinding(bavail * bsize, dataDir);
}

/** @param bytes that are free */
export function diskFinding(bytes: number, dataDir: string): Finding {
  const room = `${(bytes / 1e9).toFixed(1)} GB are free for ${dataDir}`;
  if (bytes > 2 * DAY_BYTES) return ok("disk", room);
  const mend =
    "make room, or keep less: update p2p.settings set value = '3' where name = 'raw_retention_days'";
  return bytes < DAY_BYTES / 5
    ? bad("disk", room, mend)
    : warning("disk", `${room}: the full market takes about 5 a day`, mend);
}
