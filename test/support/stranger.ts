import type { Database } from "../../src/database/connection.ts";
import { LOGIN_PASSWORD } from "./database.ts";

export interface Stranger extends AsyncDisposable {
  readonly login: string;
  readonly url: string;
}

/** A login that may read and call all of schema p2p, and has none of its roles. */
export async function stranger(database: Database, ownersUrl: string): Promise<Stranger> {
  const login = `stranger_${crypto.randomUUID().slice(0, 8)}`;
  await database.runScript(
    `create role ${login} login password '${LOGIN_PASSWORD}';
     grant usage on schema p2p to ${login};
     grant execute on all functions in schema p2p to ${login};
     grant select on all tables in schema p2p to ${login}`,
    20,
  );
  const url = new URL(ownersUrl);
  url.username = login;
  url.password = LOGIN_PASSWORD;
  return {
    login,
    url: url.href,
    [Symbol.asyncDispose]: () =>
      database.runScript(
        `revoke all on schema p2p from ${login};
         revoke all on all functions in schema p2p from ${login};
         revoke all on all tables in schema p2p from ${login};
         drop role ${login}`,
        20,
      ),
  };
}
