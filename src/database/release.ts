import { createHash } from "node:crypto";
import { VERSION } from "../version.ts";
import { BOOTSTRAP, MIGRATIONS, OBJECTS, type SqlFile } from "./sql_files.ts";
import { filesOf, type Tier } from "./tier.ts";

/** The SQL that a program carries, for all tiers; tests pass their own. */
export interface Release {
  readonly version: string;
  readonly migrations: readonly SqlFile[];
  readonly objects: readonly SqlFile[];
}

/** This program's own SQL. The bootstrap is among the objects, so that a change of it is noticed. */
export const RELEASE: Release = {
  version: VERSION,
  migrations: MIGRATIONS,
  objects: [...BOOTSTRAP, ...OBJECTS],
};

export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** What a release has for one tier. */
export function releaseFor(tier: Tier, { version, migrations, objects }: Release): Release {
  return { version, migrations: filesOf(migrations, tier), objects: filesOf(objects, tier) };
}
