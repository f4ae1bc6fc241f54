import assert from "node:assert/strict";
import { explain } from "../../src/database/errors.ts";
import {
  BatchError,
  ConfigurationError,
  DatabaseError,
  describe,
  ExchangeError,
  EXIT,
  P2pError,
  UsageError,
} from "../../src/errors.ts";

const caused = (message: string, cause: unknown) => new Error(message, { cause });
const circle = new Error("round");
circle.cause = circle;
const two = [new Error("refused ::1"), new Error("refused 127.0.0.1")];

for (
  const [title, error, text] of [
    ["a message", new Error("one"), "one"],
    ["a cause", caused("fetch failed", new Error("reset")), "fetch failed: reset"],
    ["a chain", caused("a", caused("b", new Error("c"))), "a: b: c"],
    [
      "a cause that the message tells",
      caused("failed: reset", new Error("reset")),
      "failed: reset",
    ],
    ["a cause that is a text", caused("a", "b"), "a: b"],
    ["a cause without words", caused("a", ""), "a"],
    ["no message", new TypeError(), "TypeError"],
    ["no message, a cause", new Error("", { cause: new Error("why") }), "Error: why"],
    ["several reasons", new AggregateError(two), "AggregateError: refused ::1: refused 127.0.0.1"],
    ["the same reason twice", new AggregateError([two[0], two[0]], "no"), "no: refused ::1"],
    ["a circle", circle, "round"],
    ["a text", "oops", "oops"],
    ["null", null, "null"],
    ["undefined", undefined, "undefined"],
    ["an object", { code: 5 }, "{ code: 5 }"],
    ["an object without toString", Object.create(null), "[Object: null prototype] {}"],
  ] as const
) {
  Deno.test(`describe: ${title}`, () => assert.equal(describe(error), text));
}

Deno.test("each error has the exit code of the contract, a name and its hint", () => {
  const codes = { done: 0, findings: 1, usage: 64, unavailable: 69, bug: 70, batchIncomplete: 75 };
  assert.deepEqual(EXIT, { ...codes, configuration: 78 });
  const errors = [
    [UsageError, 64],
    [ConfigurationError, 78],
    [DatabaseError, 69],
    [ExchangeError, 69],
    [BatchError, 75],
  ] as const;
  for (const [Kind, code] of errors) {
    const error = new Kind("what", "do this", { cause: "why" });
    assert(error instanceof P2pError);
    assert.deepEqual(
      [error.exitCode, error.name, error.message, error.hint, error.cause],
      [code, Kind.name, "what", "do this", "why"],
    );
  }
});

Deno.test("what the server's side may mend by itself is unavailable: systemd tries again", () => {
  for (
    const [code, text, told] of [
      [
        "25006",
        "cannot execute INSERT in a read-only transaction",
        /^the database at db only reads: /,
      ],
      [
        "0A000",
        "cannot access temporary or unlogged relations during recovery",
        /^the database at db only reads: /,
      ],
      [
        "53300",
        'too many connections for role "w"',
        /^the database at db gives no further connection: too many connections for role "w"$/,
      ],
      ["53100", "could not extend file", /^the database's disk is full: /],
      ["XX000", "could not write init file", /^the database cannot write to its disk: /],
    ] as const
  ) {
    const error = explain(Object.assign(new Error(text), { code }), "db");
    assert(error instanceof P2pError, code);
    assert.equal(error.exitCode, EXIT.unavailable);
    assert.match(error.message, told);
  }
  const other = explain(Object.assign(new Error("cache lookup failed"), { code: "XX000" }), "db");
  assert(!(other instanceof P2pError), "a bug");
});

Deno.test("a time-out of the server's names its setting: doctor itself may not get past it", () => {
  for (
    const [code, text, hint] of [
      ["57014", "canceling statement due to statement timeout", /reset statement_timeout$/],
      ["55P03", "canceling statement due to lock timeout", /reset lock_timeout$/],
      ["57014", "canceling statement due to user request", undefined],
    ] as const
  ) {
    const error = explain(Object.assign(new Error(text), { code }), "db");
    assert(error instanceof DatabaseError, code);
    if (hint === undefined) assert.equal(error.hint, undefined);
    else assert.match(error.hint ?? "", hint);
  }
});

Deno.test("a certificate that proves nothing is no bug: the database may have a better one at the next start", () => {
  const codes = [
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    "SELF_SIGNED_CERT_IN_CHAIN",
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    "CERT_HAS_EXPIRED",
    "ERR_TLS_CERT_ALTNAME_INVALID",
  ];
  for (const code of codes) {
    const error = explain(Object.assign(new Error("why"), { code }), "db:5432/p2p");
    assert(error instanceof DatabaseError, code);
    assert.equal(
      error.message,
      "the certificate of the database at db:5432/p2p proves nothing: why",
    );
  }
});
