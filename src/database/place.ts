import type postgres from "postgres";

/** Where to connect, in the driver's words. */
type Place = Pick<postgres.Options<Record<never, never>>, "database" | "host" | "port" | "path">;

const DEFAULT_PORT = 5432;

/**
 * What the driver does not read out of a URL as libpq does: an IPv6 address, the folder of a socket (`%2Frun%2Fpostgresql`),
 * a database's name with escapes.
 */
export function placeIn(url: string): Place {
  const { hostname, port: portText, pathname } = new URL(url);
  const name = decodeURIComponent(pathname.slice(1));
  const database = name === "" ? {} : { database: name };
  const port = Number(portText || DEFAULT_PORT);
  const host = decodeURIComponent(hostname);
  if (host.startsWith("/")) return { ...database, path: `${host}/.s.PGSQL.${port}` };
  if (host.startsWith("[")) return listed(database, host.slice(1, -1), port);
  return database;
}

/** A list is taken as it is, and what is no list is cut at each colon; the driver's types know no lists. */
function listed(place: Place, host: string, port: number): Place {
  return { ...place, ...{ host: [host], port: [port] } as unknown as Place };
}

/** host:port/database of a URL, for messages: without user and password. */
export function placeOf(url: string): string {
  const { hostname, port, pathname } = new URL(url);
  const host = decodeURIComponent(hostname || "localhost");
  return `${host}:${port || DEFAULT_PORT}${decodeURIComponent(pathname)}`;
}
