// The systemd unit, as systemd itself judges it.
import assert from "node:assert/strict";
import { EXIT } from "../../src/errors.ts";
import { DEADLINES, PATIENCE } from "../../src/deadlines.ts";
import manifest from "../../deno.json" with { type: "json" };
import { skipLoudly } from "../support/embedded.ts";
import { unitSettings } from "../support/sandbox.ts";

const UNIT = new URL("../../deploy/p2p-ingest.service", import.meta.url);

async function analyze(...args: string[]): Promise<{ code: number; text: string } | undefined> {
  try {
    const { code, stdout, stderr } = await new Deno.Command("systemd-analyze", { args }).output();
    const decoder = new TextDecoder();
    return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return undefined;
  }
}

Deno.test("systemd finds nothing wrong with the unit, and its exposure is at most 2.0", async () => {
  const folder = await Deno.makeTempDir({ prefix: "p2p-unit-" });
  try {
    // A program that is there: systemd looks.
    const unit = `${folder}/p2p-ingest.service`;
    const text = await Deno.readTextFile(UNIT);
    await Deno.writeTextFile(unit, text.replace(/^ExecStart=\S+/m, `ExecStart=/bin/sh`));
    const verified = await analyze("verify", "--man=no", unit);
    if (verified === undefined) return skipLoudly("the systemd unit (needs systemd-analyze)");
    assert.deepEqual(verified, { code: 0, text: "" });
    const { code, text: report } = await analyze("security", "--offline=true", unit) ??
      assert.fail();
    assert.equal(code, 0, report);
    const [, score] = /Overall exposure level for p2p-ingest\.service: ([\d.]+)/.exec(report) ?? [];
    assert.ok(Number(score) <= 2, report);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the unit waits as long as the worker may take, and starts again what may be better then", () => {
  const seconds = (name: string) => Number(unitSettings(name)[0]);
  assert.ok(seconds("TimeoutStopSec") > DEADLINES.loadSeconds + PATIENCE.stoppingSeconds * 3);
  assert.ok(seconds("TimeoutStartSec") > DEADLINES.connectSeconds + 3 * DEADLINES.statementSeconds);
  assert.ok(seconds("WatchdogSec") > PATIENCE.stuckSeconds);
  assert.deepEqual(unitSettings("RestartPreventExitStatus"), [
    `${EXIT.usage} ${EXIT.configuration}`,
  ]);
});

Deno.test("the executable may write where the unit lets it, and nowhere else", () => {
  const [folder] = unitSettings("RuntimeDirectory");
  assert.deepEqual(manifest.permissions.executable.write, [
    `/run/${folder}`,
    "/run/systemd/notify",
  ]);
});
