// deno-lint-ignore-file no-console
// `deno task fuzz [target] [--cases N] [--seed S]`: random input for everything that reads what others write. Ends with 1,
// and names seed and file of the smallest input, where a promise is broken. See docs/fuzzing.md.
import { parseArgs } from "node:util";
import { configureLog } from "../../src/log.ts";
import { UsageError } from "../../src/errors.ts";
import { startTestServer } from "../support/servers.ts";
import { readOrExit, wholeNumbers } from "../support/options.ts";
import { TARGETS } from "./targets.ts";

const { names, seed, wanted } = readOrExit(() => {
  const { values, positionals } = parseArgs({
    args: Deno.args,
    allowPositionals: true,
    options: { cases: { type: "string" }, seed: { type: "string", default: "1" } },
  });
  const unknown = positionals.filter((name) => !Object.hasOwn(TARGETS, name));
  if (unknown.length > 0) {
    const known = Object.keys(TARGETS).join(", ");
    throw new UsageError(`no target ${unknown.join(", ")}; there are ${known}`);
  }
  return {
    names: positionals.length > 0 ? positionals : Object.keys(TARGETS),
    seed: wholeNumbers(values, { seed: 0 }).seed,
    wanted: values.cases === undefined ? undefined : wholeNumbers(values, { cases: 1 }).cases,
  };
});
await configureLog("error", "text");
const folder = await Deno.makeTempDir({ prefix: "p2p-fuzz-" });
await Deno.chmod(folder, 0o755);
const kept = `${Deno.cwd()}/fuzz-findings`;
let found = 0;
{
  await using _server = await startTestServer(folder);
  for (const name of names) {
    const target = TARGETS[name];
    if (target === undefined) continue;
    const began = performance.now();
    const cases = wanted ?? target.cases;
    console.log(`\n── ${name}: ${cases} cases, seed ${seed} ──`);
    const say = (line: string): void =>
      console.log(`${new Date().toISOString().slice(11, 19)} ${line}`);
    const report = await target.run({ cases, seed, folder, say });
    const seconds = (performance.now() - began) / 1000;
    for (const [what, count] of Object.entries(report.seen).sort(([, a], [, b]) => b - a)) {
      console.log(`${String(count).padStart(10)}  ${what}`);
    }
    for (const [index, finding] of report.findings.entries()) {
      found++;
      await Deno.mkdir(kept, { recursive: true });
      const file = `${kept}/${name}-${seed}-${index + 1}.txt`;
      await Deno.writeTextFile(file, finding.input);
      console.log(
        `\nBROKEN with seed ${seed}: ${finding.what}\n${
          finding.detail.slice(0, 2000)
        }\nsmallest input: ${file}`,
      );
    }
    console.log(
      `${report.cases} cases in ${seconds.toFixed(0)} s, ${report.findings.length} findings`,
    );
  }
}
await Deno.remove(folder, { recursive: true });
Deno.exit(found > 0 ? 1 : 0);
