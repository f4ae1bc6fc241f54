// The log is looked at from outside: lines go to stderr as they are written, whatever ends the program.
import assert from "node:assert/strict";

const LOG = new URL("../../src/log.ts", import.meta.url).href;

/** Runs a few statements with `log` in a program of their own, and gives the lines of its stderr. */
async function linesOf(level: string, format: string, statements: string): Promise<string[]> {
  const program = `
    import { configureLog, logger } from ${JSON.stringify(LOG)};
    await configureLog(${JSON.stringify(level)}, ${JSON.stringify(format)});
    const log = logger("test");
    ${statements}
    Deno.exit(3);`;
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--ext=ts", program],
    env: { NO_COLOR: "1" },
    stdout: "null",
  }).output();
  const text = new TextDecoder().decode(stderr);
  assert.equal(code, 3, text);
  assert(text.endsWith("\n") || text === "");
  return text.split("\n").slice(0, -1);
}

const NASTY = JSON.stringify("two\r\nlines \u001b[31m\u2028 \u202e \u0000");

Deno.test("text: one line a record, with time, level unless info, message and properties", async () => {
  const lines = await linesOf(
    "info",
    "text",
    `log.info("plain");
     log.warning("held by {who}", { who: "host:1", n: 5, gone: undefined, none: null });
     log.error("bad", { error: new Error("outer", { cause: new Error("inner") }) });
     log.info("kinds", { list: [1, 2], big: 10n, map: { a: { b: 1 } }, no: false });
     log.debug("not shown");`,
  );
  assert.deepEqual(lines.map((line) => line.replace(/^\d\d:\d\d:\d\d /, "")), [
    "plain",
    "warning held by host:1  n=5",
    "error bad  error=outer: inner",
    "kinds  list=[ 1, 2 ]  big=10n  map={ a: { b: 1 } }  no=false",
  ]);
});

Deno.test("text: a value with line breaks or escapes stays on one line and steers nothing", async () => {
  const lines = await linesOf(
    "info",
    "text",
    `log.info("before {value}", { value: ${NASTY}, deep: { x: ${NASTY} } });
     log.info("after");`,
  );
  assert.equal(lines.length, 2);
  assert.match(
    lines[0] ?? "",
    /before two\\r\\nlines \\x1b\[31m\\u2028 \\u202e \\x00 {2}deep=\{ x/,
  );
});

Deno.test("json: one object a line, whatever the values hold", async () => {
  const lines = await linesOf(
    "debug",
    "json",
    `log.debug("one {n}", { n: 1 });
     log.warning("two", { reason: ${NASTY}, error: new Error("outer") });
     log.info("three", { big: 10n });
     const circle = {}; circle.self = circle;
     log.info("four", { circle });`,
  );
  const records = lines.map((line) => JSON.parse(line));
  assert.deepEqual(records.map(({ level }) => level), ["DEBUG", "WARN", "INFO", "INFO"]);
  assert.equal(records[0].message, "one 1");
  assert.equal(records[0].logger, "p2p.test");
  assert.equal(records[1].reason, JSON.parse(NASTY));
  assert(!Number.isNaN(Date.parse(records[0]["@timestamp"])));
});

const LEVELS = ["debug", "info", "warning", "error"];
for (const [i, level] of LEVELS.entries()) {
  Deno.test(`LOG_LEVEL=${level} shows that and what is worse`, async () => {
    const all = LEVELS.map((each) => `log.${each}("this is ${each}");`).join("\n");
    const lines = await linesOf(level, "text", all);
    assert.deepEqual(lines.map((line) => line.split(" ").at(-1)), LEVELS.slice(i));
  });
}
