const ZONE = /(?:Z|[+-]\d\d(?::?\d\d)?)$/i;
const TIME = /^\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?$/i;

/**
 * A point in time as people write it: `2026-03-01`, `2026-03-01 10:20`, `2026-03-01T10:20:00+02:00`.
 * Without a zone it is UTC, as everything that this program prints.
 */
export function parseTime(text: string): Date | undefined {
  if (!TIME.test(text)) return undefined;
  const hasZone = text.length > 10 && ZONE.test(text.slice(10));
  const written = text.replace(" ", "T").replace(/([+-]\d\d)$/, hasZone ? "$1:00" : "$1");
  const time = new Date(text.length === 10 || hasZone ? written : `${written}Z`);
  if (Number.isNaN(time.getTime())) return undefined;
  // 30 February would be taken for 2 March.
  const day = new Date(`${text.slice(0, 10)}T00:00:00Z`);
  return day.toISOString().startsWith(text.slice(0, 10)) ? time : undefined;
}

/** A length of time, roughly: `90 s`, `5 min`, `3.5 h`, `4 days`. */
export function lengthOfTime(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800
    ? `${(seconds / 3600).toFixed(1).replace(/\.0$/, "")} h`
    : `${Math.round(seconds / 86_400)} days`;
}
