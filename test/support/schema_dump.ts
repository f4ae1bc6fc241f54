import { DEBIAN_PROGRAMS } from "./servers.ts";

/** Where the readable dump of the schema is kept. */
export const SCHEMA_FILE = new URL("../../sql/schema.sql", import.meta.url);

const HEADER =
  `-- Schema p2p as \`migrate\` leaves it in PostgreSQL 15: to read, and to compare. Nothing runs this file.
-- Written by: deno task schema
`;

/**
 * Schema p2p of a database as text, by pg_dump: without what differs from server to server, and without the bodies of
 * functions, which are files of their own.
 */
export async function dumpSchema(url: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(`${DEBIAN_PROGRAMS}/pg_dump`, {
    args: ["--schema-only", "--no-owner", "--schema=p2p", url],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const dump = new TextDecoder().decode(stdout)
    .replaceAll(/^--\n-- .*\n--\n/gm, "") // what pg_dump says of each object, and of itself
    .replaceAll(/^-- Dumped .*\n/gm, "")
    .replaceAll(/^\\(un)?restrict .*\n/gm, "")
    .replaceAll(/^( +AS )(\$\w*\$)[^]*?\2;$/gm, "$1…;")
    .replaceAll(/^(SET .*|SELECT pg_catalog\.set_config\(.*);\n/gm, "")
    .replaceAll(/\n{3,}/g, "\n\n");
  return `${HEADER}\n${dump.trim()}\n`;
}
