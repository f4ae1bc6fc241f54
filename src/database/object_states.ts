import { DEADLINES } from "../deadlines.ts";
import type { Database } from "./connection.ts";

/** A shipped function or view, and what became of it in a database; see the view p2p.object_states. */
export interface ObjectState {
  /** File below sql/. */
  readonly name: string;
  /** e.g. `function p2p.load_batch(uuid)` */
  readonly identity: string;
  readonly state: "shipped" | "tuned" | "drifted";
  readonly isMissing: boolean;
  readonly hasMovedOn: boolean;
  readonly adoptedAt: string | undefined;
  readonly adoptedBy: string | undefined;
  readonly adoptedNote: string | undefined;
  readonly baseVersion: string | undefined;
  readonly shippedVersion: string;
  /** The shipped text that the live one was changed from, as the server writes it. */
  readonly base: string | undefined;
  readonly shipped: string;
  readonly live: string | undefined;
}

/**
 * @param names functions or views; none means all
 * @throws {UsageError} for a name that is not shipped
 */
export async function readObjectStates(
  database: Database,
  names: readonly string[],
): Promise<ObjectState[]> {
  const rows = await database.run(
    `select s.*, to_char(s.adopted_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"') as adopted_at_text
     from p2p.object_states s
     where $1::text = '[]'
       or s.name in (select p2p.find_object(n) from jsonb_array_elements_text($1::text::jsonb) as n)
     order by s.name`,
    [JSON.stringify(names)],
    DEADLINES.statementSeconds,
  );
  const text = (value: unknown) => value === null ? undefined : String(value);
  return rows.map((row) => ({
    name: String(row["name"]),
    identity: String(row["identity"]),
    state: row["state"] as ObjectState["state"],
    isMissing: row["is_missing"] === true,
    hasMovedOn: row["has_moved_on"] === true,
    adoptedAt: text(row["adopted_at_text"]),
    adoptedBy: text(row["adopted_by"]),
    adoptedNote: text(row["adopted_note"]),
    baseVersion: text(row["base_version"]),
    shippedVersion: String(row["shipped_version"]),
    base: text(row["base_definition"]),
    shipped: String(row["shipped_definition"]),
    live: text(row["live_definition"]),
  }));
}
