import { type Browser, chromium } from "playwright-core";

const CHROMIUM = "/usr/bin/chromium";

/**
 * Debian's Chromium, without a window; undefined where it is not installed, which is said loudly.
 * @param more e.g. `--host-resolver-rules=…`
 */
export async function openChromium(
  ...more: readonly string[]
): Promise<Browser & AsyncDisposable | undefined> {
  try {
    await Deno.stat(CHROMIUM);
  } catch {
    // deno-lint-ignore no-console
    console.log("\n!!! NOT TESTED in a browser: apt-get install chromium, then run this again");
    return undefined;
  }
  return await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--no-sandbox", // root has none
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...more,
    ],
  });
}
