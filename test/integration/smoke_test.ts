// The documented installation under systemd itself, on a machine that is booted for it.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { testDatabase } from "../support/database.ts";
import { skipLoudly } from "../support/embedded.ts";
import { freePort } from "../support/ports.ts";
import { bundle, v8Flags } from "../support/sandbox.ts";

const PROJECT = fileURLToPath(import.meta.resolve("../../"));

/** As the executable: the same code, flags and permissions. */
const PROGRAM = `#!/bin/sh
export DENO_DIR=/tmp/deno
exec /srv/deno run --quiet --cached-only --no-prompt -P=executable ${v8Flags()} \\
  --config=/opt/smoke/deno.json /opt/smoke/p2p-ingest.mjs "$@"
`;

Deno.test("systemd runs the unit: ready, a batch, hardened, started anew after kill -9, an end in order", async () => {
  if (Deno.uid() !== 0) return skipLoudly("the unit under systemd (needs root)");
  await using test = await testDatabase("empty");
  const folder = await Deno.makeTempDir({ prefix: "p2p-boot-" });
  try {
    await Deno.chmod(folder, 0o755);
    await bundle(folder);
    for (const path of ["deploy/smoke.sh", "deploy/p2p-ingest.service", "deno.json"]) {
      await Deno.copyFile(`${PROJECT}/${path}`, `${folder}/${path.split("/").at(-1)}`);
    }
    await Deno.writeTextFile(`${folder}/p2p-ingest`, PROGRAM, { mode: 0o755 });
    await Deno.writeTextFile(
      `${folder}/smoke.environment`,
      `DATABASE_URL=${test.url}\nSIMULATOR_PORT=${freePort()}\nPROMETHEUS_PORT=${freePort()}\n`,
    );
    const { code, stdout, stderr } = await new Deno.Command("unshare", {
      args: [
        ...["--mount", "--propagation=private", "sh"],
        fileURLToPath(import.meta.resolve("../support/boot.sh")),
        ...[folder, Deno.execPath()],
      ],
      stdin: "null",
      signal: AbortSignal.timeout(120_000),
    }).output();
    const out = await Deno.readTextFile(`${folder}/out`).catch(() => undefined);
    if (out === undefined) {
      const told = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      return skipLoudly(
        `the unit under systemd (needs systemd-nspawn): ${told.trim().slice(-300)}`,
      );
    }
    assert.equal(code, 0, out);
    assert.match(out, /smoke test passed/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
