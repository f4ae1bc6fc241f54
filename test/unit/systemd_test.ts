// What systemd hears: on a datagram socket, as its own is.
import assert from "node:assert/strict";
import { ServiceManager, type SystemdVariables } from "../../src/serve/systemd.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { recordLog } from "../support/log_records.ts";
import { withNotifySocket } from "../support/notify_socket.ts";

const LOOK = 5000;

async function withManager(
  more: SystemdVariables,
  work: (manager: ServiceManager, clock: FakeClock) => Promise<void>,
): Promise<string[]> {
  const heard: string[] = [];
  await withNotifySocket(async (folder, socket) => {
    const clock = new FakeClock();
    const variables = { NOTIFY_SOCKET: socket.path, RUNTIME_DIRECTORY: `${folder}:/elsewhere` };
    {
      await using manager = ServiceManager.open({ ...variables, ...more }, clock);
      await work(manager, clock);
    }
    await socket.end();
    heard.push(...socket.heard);
    await assert.rejects(Deno.stat(`${folder}/notify`), Deno.errors.NotFound);
  });
  return heard;
}

Deno.test("a start, a change of the status, signs of life twice in WATCHDOG_USEC, and the end, in this order", async () => {
  let status = "waiting";
  const heard = await withManager({ WATCHDOG_USEC: "4000000" }, async (manager, clock) => {
    manager.ready({ status: () => status, isAlive: () => true });
    await clock.advance(2000);
    status = "fetching\n\x1b[1m12/800 markets";
    await clock.advance(2000);
    manager.stopping();
  });
  assert.deepEqual(heard, [
    "READY=1",
    "STATUS=waiting\nWATCHDOG=1",
    "WATCHDOG=1",
    "STATUS=fetching\\n\\x1b[1m12/800 markets\nWATCHDOG=1",
    "STOPPING=1",
  ]);
});

Deno.test("no sign of life from a service that is stuck, nor where the watchdog is off or another's", async () => {
  let isAlive = true;
  const stuck = await withManager({ WATCHDOG_USEC: "90000000" }, async (manager, clock) => {
    manager.ready({ status: () => "", isAlive: () => isAlive });
    await clock.advance(LOOK);
    isAlive = false;
    await clock.advance(20 * LOOK);
  });
  assert.deepEqual(stuck, ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
  for (const variables of [{}, { WATCHDOG_USEC: "90000000", WATCHDOG_PID: "1" }]) {
    const heard = await withManager(variables, async (manager, clock) => {
      manager.ready({ status: () => "", isAlive: () => true });
      await clock.advance(20 * LOOK);
    });
    assert.deepEqual(heard, ["READY=1"]);
  }
});

Deno.test("a socket left behind by a process that was killed is in nobody's way", async () => {
  await withNotifySocket(async (folder, socket) => {
    const variables = { NOTIFY_SOCKET: socket.path, RUNTIME_DIRECTORY: folder };
    const killed = Deno.listenDatagram({ transport: "unixpacket", path: `${folder}/notify` });
    await using manager = ServiceManager.open(variables, new FakeClock());
    killed.close();
    manager.stopping();
    await socket.end(1);
    assert.deepEqual(socket.heard, ["STOPPING=1"]);
  });
});

Deno.test("where systemd is not there, or cannot be reached, the service goes on; the latter is one warning", async () => {
  await using log = await recordLog("debug");
  const folder = await Deno.makeTempDir({ prefix: "p2p-notify-" });
  for (
    const variables of [
      {},
      { RUNTIME_DIRECTORY: folder, WATCHDOG_USEC: "1" },
      { NOTIFY_SOCKET: `${folder}/nobody`, RUNTIME_DIRECTORY: folder },
      { NOTIFY_SOCKET: `${folder}/nobody` },
    ]
  ) {
    await using manager = ServiceManager.open(variables, new FakeClock());
    manager.ready({ status: () => "", isAlive: () => true });
    manager.stopping();
  }
  await Deno.remove(folder);
  assert.equal(log.records.length, 2, Deno.inspect(log.records));
});
