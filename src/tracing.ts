import {
  type Attributes,
  type Context,
  context,
  createContextKey,
  isSpanContextValid,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { describe } from "./errors.ts";
import { VERSION } from "./version.ts";

export { ROOT_CONTEXT };

/** Deno's own, where OTEL_DENO=true; else one that does nothing. */
const tracer = trace.getTracer("p2p-ingest", VERSION);

const MOST_MESSAGE_LENGTH = 300;

export interface SpanSettings {
  /** What is active now, where it is not given. */
  readonly parent?: Context;
  /** Other spans that it has to do with. */
  readonly links?: readonly (SpanContext | undefined)[];
}

/** Runs work as a span, which is active meanwhile. What is thrown becomes its status, but for being told to stop. */
export async function inSpan<T>(
  name: string,
  attributes: Attributes,
  work: (span: Span) => Promise<T>,
  { parent = context.active(), links = [] }: SpanSettings = {},
): Promise<T> {
  const linked = links.flatMap((link) =>
    link !== undefined && isSpanContextValid(link) ? [{ context: link }] : []
  );
  return await tracer.startActiveSpan(name, { attributes, links: linked }, parent, async (span) => {
    try {
      return await work(span);
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") {
        span.setAttribute("outcome", "stopped");
      } else {
        failSpan(span, describe(error));
      }
      throw error;
    } finally {
      span.end();
    }
  });
}

export function failSpan(span: Span, message: string): void {
  span.setStatus({ code: SpanStatusCode.ERROR, message: message.slice(0, MOST_MESSAGE_LENGTH) });
}

/** Where spans that are begun from elsewhere belong. */
export function activeContext(): Context {
  return context.active();
}

/** Runs work as a part of what was active elsewhere. */
export function within<T>(parent: Context, work: () => T): T {
  return context.with(parent, work);
}

/** Something that happened within the active span. */
export function noteEvent(name: string, attributes: Attributes): void {
  trace.getActiveSpan()?.addEvent(name, attributes);
}

/** As the SDK of OpenTelemetry for JavaScript names it; Deno sends no `traceparent` header where it is set. */
const SUPPRESSED = createContextKey("OpenTelemetry SDK Context Key SUPPRESS_TRACING");

/** A request to a stranger: without the `traceparent` header, which would tell it about us. */
export function anonymously<T>(request: () => T): T {
  return context.with(context.active().setValue(SUPPRESSED, true), request);
}

/** Ids of the active span; undefined where there is none. */
export function activeSpan(): SpanContext | undefined {
  const span = trace.getActiveSpan()?.spanContext();
  return span !== undefined && isSpanContextValid(span) ? span : undefined;
}

/** Something that took place elsewhere, one after the other. */
export interface PastSpan {
  readonly name: string;
  readonly seconds: number;
  readonly attributes: Attributes;
  readonly failure: string | undefined;
}

/** Child spans of the active one, laid end to end. @param began milliseconds since 1970 */
export function recordSpans(began: number, spans: readonly PastSpan[]): void {
  let startTime = began;
  for (const { name, seconds, attributes, failure } of spans) {
    const span = tracer.startSpan(name, { attributes, startTime }, context.active());
    if (failure !== undefined) failSpan(span, failure);
    startTime += seconds * 1000;
    span.end(startTime);
  }
}
