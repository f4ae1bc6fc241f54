import postgres from "postgres";
import type { SqlFixture } from "./sql_fixture.ts";

/** What listeners on channel p2p_batch hear while `act` runs. */
export async function heardDuring(sql: SqlFixture, act: () => Promise<void>): Promise<string[]> {
  const listener = postgres(sql.url, { max: 1, fetch_types: false });
  try {
    const heard: string[] = [];
    const { promise: end, resolve } = Promise.withResolvers<void>();
    await listener.listen("p2p_batch", (payload) => {
      if (payload === "end") resolve();
      else heard.push(payload);
    });
    await act();
    await sql.rows("select pg_notify('p2p_batch', 'end')");
    await end;
    return heard;
  } finally {
    await listener.end();
  }
}
