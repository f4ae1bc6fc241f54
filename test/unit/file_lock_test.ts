import assert from "node:assert/strict";
import { FileLock } from "../../src/embedded/locks.ts";

const STARTS_PROGRAMS = `
  let ended = false;
  onmessage = () => ended = true;
  while (!ended) {
    await new Deno.Command("/bin/true").output();
    postMessage("started one");
  }
  close();
`;

/** A program of another thread that starts this moment has a copy of every open file, its lock included. */
Deno.test("a lock that is released is free, whatever programs are being started beside it", async () => {
  const path = await Deno.makeTempFile();
  const starter = new Worker(`data:text/javascript,${encodeURIComponent(STARTS_PROGRAMS)}`, {
    type: "module",
  });
  try {
    await new Promise((resolve) => starter.onmessage = resolve);
    for (let turn = 0; turn < 2_000; turn++) {
      const lock = await FileLock.tryAcquire(path, "exclusive");
      assert.ok(lock, `held by nobody, refused at turn ${turn}`);
      lock.release();
    }
  } finally {
    starter.postMessage("end");
    starter.terminate();
    await Deno.remove(path);
  }
});
