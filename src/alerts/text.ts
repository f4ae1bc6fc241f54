import { visible } from "../log.ts";

/** Longer texts help nobody in a chat, and services refuse them. */
const MOST_CHARACTERS = 1000;

/** One line without control characters, cut; what is no Unicode becomes U+FFFD. */
export function cleaned(text: string, most: number = MOST_CHARACTERS): string {
  const line = visible(text.replace(/\s+/g, " ").trim()).toWellFormed();
  return line.length <= most ? line : `${line.slice(0, most - 1)}…`.toWellFormed();
}

/** Nobody looks for these in a text, and removing them would spoil it. */
const SHORTEST_SECRET = 4;

/** The text with each of the secrets, as it stands and as a URL writes it, replaced. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets
    .flatMap((secret) => [secret, encodeURIComponent(secret)])
    .filter((secret) => secret.length >= SHORTEST_SECRET)
    .toSorted((a, b) => b.length - a.length)
    .reduce((rest, secret) => rest.replaceAll(secret, "•••"), text);
}

/** What must never stand in an alert or in a log line about one. */
export function secretsOf(
  { DATABASE_URL, SLACK_WEBHOOK_URL, PAGERDUTY_API_KEY, ALERT_WEBHOOK_URL }: {
    readonly DATABASE_URL?: string | undefined;
    readonly SLACK_WEBHOOK_URL?: string | undefined;
    readonly PAGERDUTY_API_KEY?: string | undefined;
    readonly ALERT_WEBHOOK_URL?: string | undefined;
  },
): string[] {
  const secrets = [DATABASE_URL, PAGERDUTY_API_KEY];
  if (DATABASE_URL !== undefined) {
    const { password, searchParams } = new URL(DATABASE_URL);
    secrets.push(password, decoded(password), searchParams.get("password") ?? undefined);
  }
  for (const url of [SLACK_WEBHOOK_URL, ALERT_WEBHOOK_URL]) {
    if (url === undefined) continue;
    const { pathname, search, searchParams } = new URL(url);
    secrets.push(url, pathname, search.slice(1), ...searchParams.values());
    secrets.push(...pathname.split("/").filter(isLikeAKey));
  }
  return secrets.filter((secret) => secret !== undefined);
}

/** A part of a path that is no word. */
function isLikeAKey(part: string): boolean {
  return part.length >= 8 && /[0-9]/.test(part) || part.length >= 20;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
