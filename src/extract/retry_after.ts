/** `Retry-After` is a number of seconds or a date with a time; `Date.parse` alone finds a date in nearly anything. */
export function retryAfterSeconds(response: Response): number | undefined {
  const value = response.headers.get("retry-after")?.trim();
  if (!value) return undefined;
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value);
  if (!/^[A-Z][a-z]+,? .*\d\d:\d\d:\d\d/.test(value)) return undefined;
  const seconds = (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) && seconds > 0 ? seconds : undefined;
}
