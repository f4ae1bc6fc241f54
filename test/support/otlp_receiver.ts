/** A collector on 127.0.0.1 that keeps what it is sent as JSON (OTEL_EXPORTER_OTLP_PROTOCOL=http/json). */

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly events: readonly {
    readonly name: string;
    readonly attributes: ReceivedSpan["attributes"];
  }[];
  /** Ids of spans. */
  readonly links: readonly string[];
  /** Message of a status ERROR. */
  readonly error: string | undefined;
  /** Who made it: `p2p-ingest`, or Deno itself. */
  readonly scope: string;
}

interface Attribute {
  key: string;
  value: Record<string, string | number | boolean>;
}

interface WireSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Attribute[];
  events: { name: string; attributes: Attribute[] }[];
  links: { spanId: string }[];
  status: { code: number; message: string };
}

interface Export {
  resourceSpans?: { scopeSpans: { scope: { name: string }; spans: WireSpan[] }[] }[];
}

export class OtlpReceiver implements AsyncDisposable {
  readonly spans: ReceivedSpan[] = [];
  /** Paths that were sent to, e.g. `/v1/logs`. */
  readonly paths = new Set<string>();
  /** Everything, as it came. */
  raw = "";
  readonly #server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      const text = await request.text();
      this.paths.add(pathname);
      this.raw += text;
      if (pathname === "/v1/traces") this.#keep(JSON.parse(text));
      return Response.json({});
    },
  );

  /** What sends a program's traces here. */
  get environment(): Readonly<Record<string, string>> {
    return {
      OTEL_DENO: "true",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${this.#server.addr.port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_SERVICE_NAME: "p2p-ingest",
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  /** Those with this parent, in the order they began. */
  childrenOf(spanId: string): ReceivedSpan[] {
    return this.spans.filter((span) => span.parentSpanId === spanId)
      .toSorted((a, b) => a.startMs - b.startMs);
  }

  #keep({ resourceSpans = [] }: Export): void {
    for (const { scope, spans } of resourceSpans.flatMap(({ scopeSpans }) => scopeSpans)) {
      this.spans.push(...spans.map((span): ReceivedSpan => ({
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId,
        name: span.name,
        startMs: Number(span.startTimeUnixNano) / 1e6,
        endMs: Number(span.endTimeUnixNano) / 1e6,
        attributes: plain(span.attributes),
        events: span.events.map(({ name, attributes }) => ({
          name,
          attributes: plain(attributes),
        })),
        links: span.links.map(({ spanId }) => spanId),
        error: span.status.code === 2 ? span.status.message : undefined,
        scope: scope.name,
      })));
    }
  }
}

function plain(attributes: readonly Attribute[]): ReceivedSpan["attributes"] {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [key, Object.values(value)[0] ?? ""]),
  );
}

/** The tree below a span, one line each, children indented; like ones beyond the first few are counted. */
export function drawTree(receiver: OtlpReceiver, root: ReceivedSpan, most = 4, depth = 0): string {
  const { name, startMs, endMs, attributes, error, events, links } = root;
  const shown = Object.entries(attributes).map(([key, value]) => `${key}=${value}`).join(" ");
  const line = [
    `${"  ".repeat(depth)}${name}  ${(endMs - startMs).toFixed(1)} ms  ${shown}`.trimEnd(),
    ...(links.length > 0 ? [`→ ${links.length} pages`] : []),
    ...(error === undefined ? [] : [`ERROR ${error}`]),
    ...events.map((event) =>
      `\n${"  ".repeat(depth + 2)}· ${event.name}: attempt ${event.attributes["attempt"]}, ${
        event.attributes["outcome"]
      }`
    ),
  ].join("  ");
  const children = receiver.childrenOf(root.spanId);
  const isNotable = (span: ReceivedSpan): boolean =>
    span.error !== undefined || span.events.length > 0 ||
    receiver.childrenOf(span.spanId).some(isNotable);
  const lines: string[] = [];
  for (const group of Map.groupBy(children, ({ name }) => name).values()) {
    const first = group.length > 12
      ? group.filter((span, i) => isNotable(span) || i < most)
      : group;
    lines.push(...first.map((span) => drawTree(receiver, span, most, depth + 1)));
    if (first.length < group.length) {
      lines.push(
        `${"  ".repeat(depth + 1)}… ${group.length - first.length} more of ${group[0]?.name}`,
      );
    }
  }
  return [line, ...lines].join("\n");
}
