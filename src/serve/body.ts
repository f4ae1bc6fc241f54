import { gzip } from "node:zlib";

/** An answer that may be given many times. */
export interface Body {
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly zipped: Uint8Array<ArrayBuffer>;
  readonly etag: string;
}

export const JSON_TYPE = "application/json; charset=utf-8";

/** Zips and signs once what is sent often. */
export async function bodyOf(type: string, text: string): Promise<Body> {
  const bytes = new TextEncoder().encode(text);
  const zipped = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
  gzip(
    bytes,
    (error, result) => error ? zipped.reject(error) : zipped.resolve(Uint8Array.from(result)),
  );
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return { type, bytes, zipped: await zipped.promise, etag: digest.slice(0, 12).toHex() };
}

/** 200 with the body, or 304 where the asker has it already. */
export function respond(body: Body, request: Request, headers: HeadersInit): Response {
  const isZipped = /\bgzip\b/.test(request.headers.get("accept-encoding") ?? "");
  const etag = `"${body.etag}${isZipped ? "-z" : ""}"`;
  const all = new Headers(headers);
  all.set("etag", etag);
  all.set("cache-control", "private, no-cache");
  all.set("vary", "accept-encoding");
  const known = request.headers.get("if-none-match")?.split(",").map((tag) =>
    tag.trim().replace(/^W\//, "")
  );
  if (known?.includes(etag)) return new Response(null, { status: 304, headers: all });
  all.set("content-type", body.type);
  if (isZipped) all.set("content-encoding", "gzip");
  return new Response(isZipped ? body.zipped : body.bytes, { headers: all });
}
