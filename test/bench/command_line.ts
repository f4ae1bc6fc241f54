import { UsageError } from "../../src/errors.ts";
import { SCENARIOS } from "./scenarios.ts";

export interface CommandLine {
  readonly isHelp: boolean;
  /** undefined: all scenarios */
  readonly only: string | undefined;
  /** Of the scenario. */
  readonly options: readonly string[];
  readonly jsonFile: string | undefined;
}

export const USAGE = [
  "deno task bench [scenario [its options]] [--json FILE]",
  "",
  "Without a scenario: all but those marked *, 16 minutes on two idle cores. Options are shown with their defaults.",
  "",
  ...Object.entries(SCENARIOS).flatMap(([name, { about, usage, inAll }]) => [
    `  ${(name + (inAll === undefined ? " *" : "")).padEnd(13)}${about}`,
    ...usage === "" ? [] : [`  ${"".padEnd(13)}${usage}`],
  ]),
  "",
  "Exit 0 whether targets are met or not; 75 where a scenario broke off, 64 where the command line is wrong.",
].join("\n");

/** @throws {UsageError} for a scenario that there is not */
export function readCommandLine(args: readonly string[]): CommandLine {
  const rest = [...args];
  const at = rest.indexOf("--json");
  const [, jsonFile] = at < 0 ? [] : rest.splice(at, 2);
  if (at >= 0 && jsonFile === undefined) throw new UsageError("--json: the name of a file");
  const isHelp = rest.includes("--help") || rest.includes("-h");
  const [only, ...options] = rest;
  if (!isHelp && only !== undefined && !Object.hasOwn(SCENARIOS, only)) {
    throw new UsageError(`there is no scenario ${only}`);
  }
  return { isHelp, only: isHelp ? undefined : only, options, jsonFile };
}
