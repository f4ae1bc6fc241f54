// Help, reference, man page and completion come from the same definitions as the program.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { parseSync } from "@optique/core/parser";
import { fileURLToPath } from "node:url";
import { commands } from "../../src/cli/program.ts";
import { commandPages, referenceFiles } from "../support/reference.ts";

const project = fileURLToPath(new URL("../../", import.meta.url));

async function bash(
  script: string,
  cwd: string,
  env: Record<string, string> = {},
): Promise<string> {
  const { stdout } = await new Deno.Command("bash", {
    args: ["-c", script],
    cwd,
    env,
    stderr: "null",
  }).output();
  return new TextDecoder().decode(stdout);
}

Deno.test("reference, man page and the README's variables are what the program says: deno task reference", async () => {
  for (const [path, text] of await referenceFiles()) {
    strictEqual(await Deno.readTextFile(project + path), text, `${path}: deno task reference`);
  }
});

Deno.test("every example is one that a shell and the program understand, and every command has one", async (t) => {
  const folder = await Deno.makeTempDir(); // for examples that write a file
  const pages = commandPages();
  const shown = new Set<string>();
  for (const { command } of pages.flatMap(({ examples }) => examples)) {
    await t.step(command, async () => {
      const told = `${folder}/arguments`;
      await Deno.writeTextFile(told, "");
      await bash(
        `p2p-ingest() { (($#)) && printf '%s\\0' "$@" >> ${told}; printf '\\1' >> ${told}; }
         PATH=
         ${command}`,
        folder,
      );
      const calls = (await Deno.readTextFile(told)).split("\x01").slice(0, -1);
      ok(calls.length > 0, "the shell ran it");
      for (const call of calls) {
        const args = call.split("\0").slice(0, -1);
        const parsed = parseSync(commands, args);
        ok(parsed.success, `${args.join(" ")}: ${JSON.stringify(parsed)}`);
        shown.add(args[0] ?? "").add(args.slice(0, 2).join(" "));
      }
    });
  }
  deepStrictEqual(pages.map(({ name }) => name).filter((name) => !shown.has(name)), []);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("bash completes commands, subcommands and options", async () => {
  const folder = await Deno.makeTempDir();
  const program = `${folder}/p2p-ingest`;
  await Deno.writeTextFile(
    program,
    `#!/bin/sh\nexec ${Deno.execPath()} run -A ${project}main.ts "$@"\n`,
  );
  await Deno.chmod(program, 0o755);
  const completed = await bash(
    `source <(p2p-ingest completion bash)
     try() {
       COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*"; COMP_POINT=\${#COMP_LINE}
       $(complete -p p2p-ingest | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
       printf '%s ' $(printf '%s\\n' "\${COMPREPLY[@]}" | sort); echo
     }
     try p2p-ingest st; try p2p-ingest sql re; try p2p-ingest status --wa`,
    folder,
    { PATH: `${folder}:${Deno.env.get("PATH") ?? ""}` },
  );
  deepStrictEqual(completed.split("\n").map((line) => line.trim()), [
    "status",
    "restore",
    "--watch",
    "",
  ]);
  await Deno.remove(folder, { recursive: true });
});

const hasMan = await new Deno.Command("sh", { args: ["-c", "command -v man"], stdout: "null" })
  .output().then(({ success }) => success);

Deno.test({
  name: "man shows the man page without a warning",
  ignore: !hasMan,
  fn: async () => {
    const { stdout, stderr } = await new Deno.Command("man", {
      args: ["--warnings", "-l", `${project}deploy/p2p-ingest.1`],
      env: { MANWIDTH: "100", MAN_KEEP_FORMATTING: "", LC_ALL: "C.UTF-8" },
    }).output();
    strictEqual(new TextDecoder().decode(stderr), "");
    const page = new TextDecoder().decode(stdout);
    match(page, /^ +status\n/m);
    match(page, /--watch/);
    match(page, /BATCH_DEADLINE_SECONDS/);
    match(page, /EXIT STATUS/);
  },
});
