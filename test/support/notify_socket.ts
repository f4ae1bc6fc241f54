/** Stands in for systemd's notify socket. */
export interface NotifySocket {
  readonly path: string;
  /** Datagrams, in the order in which they came. */
  readonly heard: string[];
  /** Waits for everything that was sent; or for as many datagrams. */
  end(count?: number): Promise<void>;
}

/** @param work gets a folder that is gone afterwards, with the socket `systemd` in it */
export async function withNotifySocket(
  work: (folder: string, socket: NotifySocket) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "p2p-notify-" });
  const path = `${folder}/systemd`;
  const listener = Deno.listenDatagram({ transport: "unixpacket", path });
  await Deno.chmod(path, 0o666);
  const heard: string[] = [];
  let wake: () => void = () => {};
  const hearing = (async () => {
    for (;;) {
      const [bytes] = await listener.receive();
      const text = new TextDecoder().decode(bytes);
      if (text === END) return;
      heard.push(text);
      wake();
    }
  })();
  let isOver = false;
  const say = async (): Promise<void> => {
    if (isOver) return;
    isOver = true;
    const own = Deno.listenDatagram({ transport: "unixpacket", path: `${folder}/own` });
    await own.send(new TextEncoder().encode(END), { transport: "unixpacket", path });
    own.close();
    await hearing;
  };
  const end = async (count?: number): Promise<void> => {
    if (count === undefined) return await say();
    while (heard.length < count) await new Promise<void>((resolve) => wake = resolve);
  };
  try {
    await work(folder, { path, heard, end });
  } finally {
    await say();
    listener.close();
    await Deno.remove(folder, { recursive: true });
  }
}

const END = "the test is over";
