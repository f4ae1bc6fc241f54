import { isIP } from "node:net";
import { ConfigurationError } from "../errors.ts";
import { readSmallFile } from "../small_file.ts";

/** As libpq knows them; `allow` is taken for `prefer`. */
const SSL_MODES = [
  "disable",
  "allow",
  "prefer",
  "require",
  "verify-ca",
  "verify-full",
] as const;
export type SslMode = typeof SSL_MODES[number];

/** What the driver hands to `tls.connect`. */
interface TlsOptions {
  readonly rejectUnauthorized?: false;
  /** PEM; without it, what Deno trusts. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** The name to verify, where it is an address: the driver names none then, and `localhost` would do. */
  readonly host?: string;
  readonly checkServerIdentity?: () => undefined;
}

export interface Tls {
  /** The URL without what is said here. */
  readonly url: string;
  readonly mode: SslMode;
  readonly ssl: false | "prefer" | TlsOptions;
}

/** What the URL may say of TLS, and libpq's variable for it. */
const VARIABLES = {
  sslmode: "PGSSLMODE",
  sslrootcert: "PGSSLROOTCERT",
  sslcert: "PGSSLCERT",
  sslkey: "PGSSLKEY",
} as const;

/** What must be in such a file: without it the driver would trust all that Deno trusts, or show no certificate at all. */
const PEM = {
  sslrootcert: /-----BEGIN CERTIFICATE-----/,
  sslcert: /-----BEGIN CERTIFICATE-----/,
  sslkey: /-----BEGIN [A-Z ]*PRIVATE KEY-----/,
} as const;

/** Of all authorities of a Debian it is 0.2 MB. */
const LARGEST_PEM_BYTES = 4_000_000;

/**
 * How to speak to the server of a URL, as libpq would: `sslmode`, `sslrootcert`, `sslcert`, `sslkey` of the URL or the
 * environment. Unset, a server on this machine is asked for no TLS, any other one is asked, but not verified (`prefer`).
 * What is verified without a `sslrootcert` is against the authorities that Deno trusts.
 * @throws {ConfigurationError} for a mode that is none, and files that cannot be read
 */
export function tlsOf(
  url: string,
  env: (name: string) => string | undefined = (name) => Deno.env.get(name),
  readFile: (path: string) => string = (path) => readSmallFile(path, LARGEST_PEM_BYTES),
): Tls {
  const rest = new URL(url);
  const take = (name: keyof typeof VARIABLES): string | undefined => {
    const value = rest.searchParams.get(name) || env(VARIABLES[name]) || undefined;
    rest.searchParams.delete(name);
    return value;
  };
  const root = take("sslrootcert");
  const [certificate, key] = [take("sslcert"), take("sslkey")];
  const mode = modeOf(take("sslmode") ?? driversWord(rest), isLocal(hostOf(rest, env)), root);
  if (mode === "disable") return { url: rest.href, mode, ssl: false };

  if ((certificate === undefined) !== (key === undefined)) {
    throw new ConfigurationError("of sslcert and sslkey one is missing", "set both, or none");
  }
  if (mode === "prefer") {
    if (certificate === undefined) return { url: rest.href, mode, ssl: "prefer" };
    throw new ConfigurationError(
      "sslcert would be left out where the server offers no TLS",
      "add sslmode=verify-full, or at least sslmode=require, to DATABASE_URL",
    );
  }
  const read = (name: keyof typeof PEM, path: string): string => {
    const hint = `${name} is the path of a file in PEM format`;
    let text: string;
    try {
      text = readFile(path);
    } catch (error) {
      const reason = error instanceof Error ? error.name : "unknown";
      throw new ConfigurationError(`${name}=${path} cannot be read (${reason})`, hint);
    }
    if (PEM[name].test(text)) return text;
    throw new ConfigurationError(
      `in ${name}=${path} is no ${name === "sslkey" ? "private key" : "certificate"}`,
      hint,
    );
  };
  const host = hostOf(rest, env);
  const address = host.replace(/^\[|\]$/g, "");
  const ca = root === undefined || root === "system" ? undefined : read("sslrootcert", root);
  return {
    url: rest.href,
    mode,
    ssl: {
      ...(ca === undefined ? {} : { ca }),
      ...(certificate === undefined || key === undefined ? {} : {
        cert: read("sslcert", certificate),
        key: read("sslkey", key),
      }),
      ...(isIP(address) === 0 ? {} : { host: address }),
      ...(mode === "require" ? { rejectUnauthorized: false } : {}),
      ...(mode === "verify-ca" ? { checkServerIdentity: () => undefined } : {}),
    },
  };
}

function modeOf(asked: string | undefined, isHere: boolean, root: string | undefined): SslMode {
  const mode = SSL_MODES.find((known) => known === asked);
  if (asked !== undefined && mode === undefined) {
    throw new ConfigurationError(
      "sslmode of DATABASE_URL, or PGSSLMODE, is none that there is",
      `it is one of ${SSL_MODES.join(", ")}`,
    );
  }
  if (root === "system") {
    if (mode === undefined || mode === "verify-full") return "verify-full";
    throw new ConfigurationError(
      `sslrootcert=system with sslmode=${mode}: anybody can have a certificate of one of those`,
      "it goes with sslmode=verify-full only",
    );
  }
  if (mode === undefined) return isHere ? "disable" : "prefer";
  // As libpq: who names an authority wants it asked.
  if (mode === "require" && root !== undefined) return "verify-ca";
  return mode === "allow" ? "prefer" : mode;
}

/** The driver's own `?ssl=…`: it verifies. */
function driversWord({ searchParams }: URL): string | undefined {
  const word = searchParams.get("ssl") ?? undefined;
  searchParams.delete("ssl");
  if (word === undefined) return undefined;
  return { true: "verify-full", false: "disable" }[word] ?? word;
}

function hostOf({ hostname }: URL, env: (name: string) => string | undefined): string {
  return hostname || env("PGHOST") || "localhost";
}

/** Whether a host of a URL, or of PGHOST, is this machine. */
function isLocal(host: string): boolean {
  return host.split(",").every((one) =>
    /^(localhost(:\d+)?|127\.[\d.]+(:\d+)?|\[?::1\]?|\/.*|%2F.*)$/i.test(one)
  );
}

/** Whether somebody between here and there could answer in the place of the database of this URL. */
export function isUnverified(url: string): boolean {
  const { mode } = tlsOf(url);
  const isHere = isLocal(hostOf(new URL(url), (name) => Deno.env.get(name)));
  return !isHere && mode !== "verify-full" && mode !== "verify-ca";
}
