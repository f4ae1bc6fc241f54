/** A length of time, roughly: `90 s`, `5 min`, `3.5 h`, `4 days`. */
export function lengthOfTime(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800
    ? `${(seconds / 3600).toFixed(1).replace(/\.0$/, "")} h`
    : `${Math.round(seconds / 86_400)} days`;
}
