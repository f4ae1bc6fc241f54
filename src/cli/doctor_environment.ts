import { configuredDestinations } from "../alerts/destinations.ts";
import { type Config, ENVIRONMENT_NAMES, FILE_NAMES, SECRETS } from "../config.ts";
import { isUnverified } from "../database/tls.ts";
import { type Finding, ok, warning } from "./finding.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** What is odd in a configuration that is valid. */
export function examineEnvironment(config: Config, env: Environment): Finding[] {
  return [
    ...unknownVariables(env),
    ...openSecretFiles(env),
    ...unverifiedDatabase(config),
    ...tightInterval(config),
    alertsFinding(config),
  ];
}

/** Variables that nobody reads, and whose names are nearly, or the beginning of, one that is read. */
function unknownVariables(env: Environment): Finding[] {
  const known = new Set([...ENVIRONMENT_NAMES, ...FILE_NAMES]);
  return Object.keys(env).filter((name) => !known.has(name) && env[name] !== "").flatMap((name) => {
    const meant = [...known].find((one) =>
      distance(name.toUpperCase(), one) <= (one.length > 8 ? 2 : 1) ||
      name.length >= 8 && one.startsWith(`${name}_`) ||
      name === `${one}_FILE`
    );
    if (meant === undefined) return [];
    const finding = name === `${meant}_FILE`
      ? `${name} is set, and only secrets are read from files`
      : `${name} is set, and nothing reads it`;
    return [warning("configuration", finding, `${meant} is the variable that there is`)];
  });
}

/** How many letters have to be added, taken away or changed. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...b].entries()) {
      const changed = (row[j] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(changed, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

const READABLE_BY_OTHERS = 0o004;

function openSecretFiles(env: Environment): Finding[] {
  return [...SECRETS].flatMap((name) => {
    const path = env[`${name}_FILE`]?.trim();
    if (!path) return [];
    const { mode } = Deno.statSync(path);
    return mode !== null && (mode & READABLE_BY_OTHERS) !== 0
      ? [warning("secrets", `everybody may read ${name}_FILE, ${path}`, `chmod 600 ${path}`)]
      : [ok("secrets", `${name} is in a file that not everybody may read`)];
  });
}

/** Over a network, who is not asked for a certificate may be anybody. */
function unverifiedDatabase({ DATABASE_URL }: Config): Finding[] {
  if (DATABASE_URL === undefined || !isUnverified(DATABASE_URL)) return [];
  return [
    warning(
      "database",
      `who answers as ${
        new URL(DATABASE_URL).hostname
      } is not verified: its password and data could go to another`,
      "add ?sslmode=verify-full to DATABASE_URL (the server needs a certificate that this machine trusts; of an authority of your own: &sslrootcert=<file>)",
    ),
  ];
}

function tightInterval(config: Config): Finding[] {
  const { EXTRACTION_INTERVAL_MINUTES: minutes, BATCH_DEADLINE_SECONDS: seconds } = config;
  if (seconds < minutes * 60) return [];
  return [
    warning(
      "configuration",
      `a batch may fetch for ${seconds} s, and one is due every ${minutes} min: the next begins late`,
      `BATCH_DEADLINE_SECONDS=${Math.floor(minutes * 60 * 0.8)}`,
    ),
  ];
}

function alertsFinding(config: Config): Finding {
  const names = configuredDestinations(config).map(({ name }) => name).join(", ");
  return ok(
    "alerts",
    names === ""
      ? "are lines of the log only: SLACK_WEBHOOK_URL, PAGERDUTY_API_KEY, ALERT_WEBHOOK_URL are not set"
      : `go to ${names}; to see one arrive: p2p-ingest alert test`,
  );
}
