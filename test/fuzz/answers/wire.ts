/** Answers that only a connection can carry: with their encoding, as bytes. */
import { answer as httpAnswer } from "../../support/strange_exchange.ts";
import type { Answer } from "./mutate.ts";

export class Wire implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #next: Answer[] = [];
  readonly #serving = this.#serve();

  /** A `fetch` that gets this answer, whatever it asks for. */
  send(answer: Answer): typeof fetch {
    const url = `http://127.0.0.1:${this.#listener.addr.port}/`;
    return (_url, init) => {
      this.#next.push(answer);
      return fetch(`${url}${this.#next.length - 1}`, init ?? {});
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
  }

  async #serve(): Promise<void> {
    const open = new Set<Promise<void>>();
    for await (const connection of this.#listener) {
      const done = this.#answer(connection).catch(() => {}).finally(() => {
        open.delete(done);
        connection.close();
      });
      open.add(done);
    }
    await Promise.all(open);
  }

  async #answer(connection: Deno.TcpConn): Promise<void> {
    const buffer = new Uint8Array(65_536);
    const count = await connection.read(buffer);
    const [, index] =
      /^\S+ \/(\d+)/.exec(new TextDecoder().decode(buffer.subarray(0, count ?? 0))) ?? [];
    const answer = this.#next[Number(index)];
    if (answer === undefined) return;
    const encoding = answer.headers["content-encoding"] ?? "identity";
    for (
      let rest = httpAnswer(answer.body, `content-encoding: ${encoding}\r\n`);
      rest.length > 0;
    ) {
      rest = rest.subarray(await connection.write(rest));
    }
  }
}
