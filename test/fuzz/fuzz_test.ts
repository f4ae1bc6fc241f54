// The fuzzers in their short form, with seeds that stay. `deno task fuzz` does more: docs/fuzzing.md.
import assert from "node:assert/strict";
import { TARGETS } from "./targets.ts";

const CASES: Readonly<Record<string, number>> = {
  answers: 1200,
  configuration: 3000,
  import: 60,
  arguments: 400,
  web: 60,
  page: 100,
};

for (const [name, cases] of Object.entries(CASES)) {
  Deno.test(`${cases} odd inputs: ${name}`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "p2p-fuzz-test-" });
    const target = TARGETS[name];
    assert(target !== undefined);
    const { findings, cases: done } = await target.run({ cases, seed: 1, folder, say: () => {} });
    const told = findings.map(({ what, detail, input }) =>
      `${what}\n${detail}\n${input}`.slice(0, 2000)
    );
    assert.deepEqual(told, [], "deno task fuzz keeps the smallest input");
    assert(done >= cases);
    await Deno.remove(folder, { recursive: true });
  });
}

Deno.test("what hangs is told with its input, also where it lets nothing else run", async () => {
  const folder = await Deno.makeTempDir({ prefix: "p2p-fuzz-test-" });
  const watchdog = import.meta.resolve("./watchdog.ts");
  const program = `import { Watchdog } from "${watchdog}";
    using watchdog = new Watchdog();
    { using _ = watchdog.watch("what ends", 0.1, () => "this"); }
    using _ = watchdog.watch("a loop", 0.2, () => "that");
    for (;;);`;
  const { signal, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", program],
    cwd: folder,
  }).output();
  assert.equal(signal, "SIGKILL");
  assert.match(new TextDecoder().decode(stdout), /BROKEN: a loop hangs: no end after 0.2 s/);
  assert.equal(await Deno.readTextFile(`${folder}/fuzz-findings/hang.txt`), "that");
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a number that is none is refused, not run as nothing", async () => {
  const programs = {
    "./main.ts": "--cases",
    "../chaos/chaos_main.ts": "--schedules",
    "../chaos/soak_main.ts": "--batches",
  };
  await Promise.all(
    Object.entries(programs).map(async ([program, option]) => {
      const { code, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", import.meta.resolve(program), `${option}=1e3`],
      }).output();
      assert.equal(code, 64);
      assert.match(new TextDecoder().decode(stderr), /is a whole number from 1 on, not "1e3"/);
    }),
  );
});
