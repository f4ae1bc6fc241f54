/** What a DBA does to functions of schema p2p: takes the text that is installed, changes it, installs it. */
import assert from "node:assert/strict";
import type { Database } from "../../src/database/connection.ts";
import { valueOf } from "./batches.ts";

export const PARSER = "parse_binance_search_v1";
/** Where it reads the price. */
export const PRICE = "i.adv ->> 'price' as price";

/** The text of an installed function, with one thing changed. */
export async function changedFunction(
  database: Database,
  name: string,
  from: string,
  to: string,
): Promise<string> {
  const text = await valueOf(database, `select pg_get_functiondef('p2p.${name}'::regproc)`);
  assert.ok(text.includes(from), `${name} has no ${from}`);
  return `${text.replaceAll(from, () => to)};`;
}

/** From now on the function says `to` where it said `from`. */
export async function changeFunction(
  database: Database,
  name: string,
  from: string,
  to: string,
): Promise<void> {
  await database.runScript(await changedFunction(database, name, from, to), 20);
}
