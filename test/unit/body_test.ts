import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { MAX_BODY_BYTES, readBody } from "../../src/extract/body.ts";
import { gzip, serveAnswers } from "../support/faulty_server.ts";

const KIB = 1024;

/** A response whose body comes in pieces of a size that divides no buffer. */
function inPieces(bytes: Uint8Array<ArrayBuffer>, piece: number): Response {
  let sent = 0;
  return new Response(
    new ReadableStream({
      type: "bytes",
      pull: (controller) => {
        if (sent < bytes.length) controller.enqueue(bytes.slice(sent, sent += piece));
        else {
          controller.close();
          controller.byobRequest?.respond(0);
        }
      },
    }),
  );
}

function letters(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => 97 + i % 23);
}

const sizes = [
  ...[0, 1, 1000],
  ...[-1, 0, 1].map((off) => 128 * KIB + off),
  ...[-1, 0, 1].map((off) => 256 * KIB + off),
  ...[-1, 0].map((off) => MAX_BODY_BYTES + off),
];
for (const size of sizes) {
  Deno.test(`${size} bytes arrive whole`, async () => {
    const sent = letters(size);
    await using server = serveAnswers(() => new Response(sent));
    for (const response of [await fetch(server.url), inPieces(sent, 7 * KIB + 3)]) {
      const body = await readBody(response);
      assert.equal(body.bytes, size);
      assert(body.text === new TextDecoder().decode(sent));
      assert.equal(body.sha256.toHex(), createHash("sha256").update(sent).digest("hex"));
      assert.equal(body.original, undefined);
    }
  });
}

Deno.test("one byte more than the limit is too large", async () => {
  const sent = new Uint8Array(MAX_BODY_BYTES + 1);
  await using server = serveAnswers(() => new Response(sent));
  await assert.rejects(readBody(await fetch(server.url)), {
    kind: "too_large",
    message: "the body is larger than 8388608 bytes",
  });
});

Deno.test("a gzip bomb is cut off on the way", async () => {
  const bomb = await gzip(new Uint8Array(300 * KIB * KIB));
  assert(bomb.length < 400 * KIB);
  await using server = serveAnswers(() =>
    new Response(bomb, { headers: { "content-encoding": "gzip" } })
  );
  const response = await fetch(server.url);
  const before = Deno.memoryUsage().rss;
  await assert.rejects(readBody(response), { kind: "too_large" });
  assert(Deno.memoryUsage().rss - before < 100 * KIB * KIB);
});

Deno.test("a body that never ends is cut off, and its stream cancelled", async () => {
  let cancelled = false;
  const endless = new ReadableStream({
    type: "bytes",
    pull: (controller) => controller.enqueue(letters(64 * KIB)),
    cancel: () => {
      cancelled = true;
    },
  });
  await assert.rejects(readBody(new Response(endless)), { kind: "too_large" });
  assert(cancelled);
});

Deno.test("gzip arrives unpacked, and counts as unpacked", async () => {
  const text = JSON.stringify("ad ".repeat(50_000));
  const packed = await gzip(new TextEncoder().encode(text));
  await using server = serveAnswers(() =>
    new Response(packed, { headers: { "content-encoding": "gzip" } })
  );
  const body = await readBody(await fetch(server.url));
  assert.equal(body.bytes, text.length);
  assert(body.text === text);
});

Deno.test("bytes that are not UTF-8 become U+FFFD, and the bytes themselves are kept", async () => {
  const sent = new Uint8Array([0x7b, 0xff, 0xc3, 0x7d]);
  const body = await readBody(new Response(inPieces(sent, 1).body));
  assert.equal(body.text, "{\uFFFD\uFFFD}");
  assert.deepEqual(body.original, sent);
  assert.equal(body.original?.buffer.byteLength, 4, "the large buffer is let go");
});

Deno.test("characters that lie across two pieces are whole", async () => {
  const text = "الريال 人民币 💸".repeat(20_000);
  const body = await readBody(inPieces(new TextEncoder().encode(text), 4099));
  assert(body.text === text);
  assert.equal(body.original, undefined);
});

Deno.test("a byte order mark is not part of the text", async () => {
  const body = await readBody(inPieces(new TextEncoder().encode("\uFEFF[]"), 100));
  assert.equal(body.text, "[]");
  assert.equal(body.bytes, 5);
});

Deno.test("no body at all is an empty text", async () => {
  assert.equal((await readBody(new Response(null))).text, "");
});
