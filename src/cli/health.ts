import { isIP } from "node:net";
import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { command, constant } from "@optique/core/primitives";
import type { Config } from "../config.ts";
import { DEADLINES } from "../deadlines.ts";
import { ConfigurationError, describe, EXIT, type ExitCode } from "../errors.ts";
import { readBody } from "../extract/body.ts";
import { readEnvironment } from "./environment.ts";
import { examples } from "./help.ts";
import { print, tell } from "./terminal.ts";

export const healthCommand = command(
  "health",
  object({ command: constant("health") }),
  {
    brief: message`Whether the service on this machine lives: exit 0 or 1.`,
    description:
      message`Asks /healthz of the service that runs with the same LISTEN_HOST and PROMETHEUS_PORT, and prints its answer. For the health check of a container, which has no curl.`,
    footer: examples(["p2p-ingest health", "HEALTHCHECK of the container image"]),
  },
);

export async function health(): Promise<ExitCode> {
  const url = `${serviceUrl(await readEnvironment())}/healthz`;
  try {
    const response = await fetch(url, {
      signal: AbortSignal.timeout(DEADLINES.healthSeconds * 1000),
    });
    print(`${(await readBody(response)).text.trim()}\n`);
    return response.ok ? EXIT.done : EXIT.findings;
  } catch (error) {
    tell(`${url} does not answer: ${describe(error)}\n`);
    return EXIT.findings;
  }
}

/**
 * Where a service of this configuration answers on this machine.
 * @throws {ConfigurationError} where a service of this configuration cannot be found
 */
export function serviceUrl({ ENABLE_METRICS, LISTEN_HOST, PROMETHEUS_PORT }: Config): string {
  if (!ENABLE_METRICS || PROMETHEUS_PORT === 0) {
    throw new ConfigurationError(
      "the service has no port that could be asked",
      "set PROMETHEUS_PORT, and ENABLE_METRICS=true",
    );
  }
  const any: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };
  const host = any[LISTEN_HOST] ?? LISTEN_HOST;
  return `http://${isIP(host) === 6 ? `[${host}]` : host}:${PROMETHEUS_PORT}`;
}
