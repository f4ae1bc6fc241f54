import { createTwoFilesPatch } from "diff";
import type { ObjectState } from "../database/object_states.ts";
import { style } from "./terminal.ts";

/**
 * What was changed, as unified diffs: shipped → live; and where the release has moved on underneath, what the release
 * changed as well, both from the text that they have in common.
 */
export function differencesOf(object: ObjectState): string {
  const { name, base, shipped, live, baseVersion, shippedVersion, hasMovedOn } = object;
  if (!hasMovedOn || base === undefined) {
    return unified(`shipped ${shippedVersion}`, shipped, `live`, live ?? "", name);
  }
  const from = `shipped ${baseVersion}`;
  return unified(from, base, "live", live ?? "", name) +
    unified(from, base, `shipped ${shippedVersion}`, shipped, name);
}

function unified(from: string, before: string, to: string, after: string, name: string): string {
  if (before === after) return "";
  const patch = createTwoFilesPatch(`${name} (${from})`, `${name} (${to})`, before, after);
  return patch.replace(/^=+\n/, "");
}

/** The colours people know from git, in a terminal. */
export function coloured(patch: string): string {
  const { bold, red, green, dim } = style(Deno.stdout);
  return patch.split("\n").map((line) =>
    /^(---|\+\+\+) /.test(line)
      ? bold(line)
      : line.startsWith("-")
      ? red(line)
      : line.startsWith("+")
      ? green(line)
      : line.startsWith("@@")
      ? dim(line)
      : line
  ).join("\n");
}
