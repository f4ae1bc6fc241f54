// Help, version, completion: what a person meets first.
import { match, ok, strictEqual } from "node:assert/strict";
import { VERSION } from "../../src/version.ts";
import { runProgram } from "../support/program.ts";

const COMMANDS = [
  "run",
  "once",
  "status",
  "query",
  "quarantine",
  "replay",
  "migrate",
  "doctor",
  "sql",
  "db",
  "simulate",
  "demo",
];

Deno.test("--help names every command", async () => {
  for (const args of [["--help"], ["help"]]) {
    const { code, stdout, stderr } = await runProgram(args);
    strictEqual(code, 0, stderr);
    for (const command of COMMANDS) match(stdout, new RegExp(`^\\s+${command}\\s`, "m"));
    match(stdout, /README lists every variable and exit code/);
    // deno-lint-ignore no-control-regex
    ok(!/\x1b/.test(stdout), "no colours in a pipe");
  }
});

Deno.test("each command has help with examples", async (t) => {
  for (const command of COMMANDS) {
    await t.step(command, async () => {
      const { code, stdout } = await runProgram([command, "--help"]);
      strictEqual(code, 0);
      match(stdout, /^Usage: p2p-ingest /m);
      match(stdout, /Examples:[^]*p2p-ingest /);
    });
  }
});

Deno.test("--version", async () => {
  const { code, stdout } = await runProgram(["--version"]);
  strictEqual(code, 0);
  strictEqual(stdout.trim(), VERSION);
});

Deno.test("completion for the common shells", async (t) => {
  for (const shell of ["bash", "zsh", "fish"]) {
    await t.step(shell, async () => {
      const { code, stdout, stderr } = await runProgram(["completion", shell]);
      strictEqual(code, 0, stderr);
      match(stdout, /p2p-ingest/);
    });
  }
});

Deno.test("a wrong command line is one line, with how that command is used, exit 64", async () => {
  for (
    const [args, line, hint] of [
      [
        ["onc"],
        "Unexpected option or subcommand: `onc`. Did you mean `once`?",
        "p2p-ingest --help",
      ],
      [
        ["query"],
        "Expected a `SQL`, but too few arguments.",
        "p2p-ingest query [--json] [--csv] SQL",
      ],
      [
        ["db", "stp"],
        "Unexpected option or subcommand: `stp`.",
        "p2p-ingest db (psql [ARGUMENT...] | url | start | stop)",
      ],
    ] as const
  ) {
    const { code, stdout, stderr } = await runProgram(args);
    strictEqual(stderr, `error: ${line}\nhint: ${hint}\n`);
    strictEqual(code, 64);
    strictEqual(stdout, "");
  }
});

Deno.test("where the output cannot be written, that is said; where the messages cannot, the exit code says it", async () => {
  const shell = async (line: string) => {
    const { code, stderr } = await new Deno.Command("bash", {
      args: ["-c", line, Deno.execPath()],
      env: { NO_COLOR: "1" },
    }).output();
    return { code, stderr: new TextDecoder().decode(stderr) };
  };
  const full = await shell('"$0" run -A main.ts --version > /dev/full');
  strictEqual(
    full.stderr,
    "error: standard output takes no more: No space left on device (os error 28)\n",
  );
  strictEqual(full.code, 69);
  strictEqual((await shell('"$0" run -A main.ts onc 2> /dev/full')).code, 64);
});

Deno.test("no arguments: the usage on stderr, exit 64", async () => {
  const { code, stdout, stderr } = await runProgram([]);
  strictEqual(code, 64);
  strictEqual(stdout, "");
  match(stderr, /p2p-ingest|command/i);
});
