/** Makes answers of an exchange, most of them spoiled, all by chance that comes again with its seed. */
import { gzipSync } from "node:zlib";
import type { Dice } from "../../support/random.ts";
import { type BaseOffers, type Home, KEYS } from "./base.ts";
import { junk, nested, noise } from "./junk.ts";
import { at, copyOf, put, textOf, type Tree } from "./tree.ts";

/** One answer to the question for one page. */
export interface Answer extends Home {
  readonly page: number;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array<ArrayBuffer>;
  /** Sent over a connection as these bytes, instead of handed to the reader. */
  readonly onWire: boolean;
  /** What was done to it. */
  readonly done: readonly string[];
  /** Ids of offers that were not touched. */
  readonly untouched: readonly string[];
}

interface Draft {
  readonly home: Home;
  readonly items: { tree: Tree; id: string; isTouched: boolean }[];
  envelope: Tree;
  isWhole: boolean;
}

const encoder = new TextEncoder();

export function makeAnswer(
  dice: Dice,
  base: BaseOffers,
  home: Home,
  page: number,
  serial: number,
): Answer {
  const items = Array.from({ length: Math.floor(dice.between(1, 4)) }, (_, i) => {
    const id = `${2n ** 63n + BigInt(serial) * 8n + BigInt(i)}`;
    const owner = `s${dice.next() < 0.7 ? `u${serial}-${i}` : Math.floor(dice.next() * 500)}`;
    return { tree: base.pick(dice, home, id, owner), id, isTouched: false };
  });
  const draft: Draft = { home, items, envelope: envelopeOf(dice, home), isWhole: true };
  const chance = dice.next();
  const count = chance < 0.12
    ? 0
    : chance < 0.7
    ? 1
    : chance < 0.88
    ? 2
    : Math.floor(dice.between(3, 7));
  const done: string[] = [];
  for (let i = 0; i < count; i++) {
    done.push(dice.next() < 0.75 ? changeItem(dice, draft) : changeEnvelope(dice, draft));
  }
  let text = assemble(draft);
  let body: Uint8Array<ArrayBuffer> | undefined;
  if (dice.next() < 0.12) {
    [text, body] = changeText(dice, text, done);
    draft.isWhole = false;
  }
  let bytes = body ?? encoder.encode(text);
  if (dice.next() < 0.08) {
    bytes = changeBytes(dice, bytes, done);
    draft.isWhole = false;
  }
  const carried = carry(dice, bytes, done);
  const untouched = draft.isWhole
    ? items.filter((item) => !item.isTouched).map(({ id }) => id)
    : [];
  return { ...home, page, ...carried, done, untouched };
}

const ITEMS = `"@items"`;

function envelopeOf(dice: Dice, { exchange }: Home): Tree {
  const total = String(Math.floor(dice.between(0, 100)));
  return exchange === "binance"
    ? {
      fields: [[`"code"`, `"000000"`], [`"message"`, "null"], [`"messageDetail"`, "null"], [
        `"data"`,
        ITEMS,
      ], [
        `"total"`,
        total,
      ], [`"success"`, "true"]],
    }
    : {
      fields: [
        [`"ret_code"`, "0"],
        [`"ret_msg"`, `"SUCCESS"`],
        [`"result"`, {
          fields: [[`"count"`, total], [`"items"`, ITEMS]],
        }],
        [`"ext_code"`, `""`],
        [`"ext_info"`, { fields: [] }],
      ],
    };
}

function assemble({ items, envelope }: Draft): string {
  const list = `[${items.map(({ tree }) => textOf(tree)).join(",")}]`;
  return textOf(envelope).replaceAll(ITEMS, () => list);
}

type Node = Extract<Tree, { fields: unknown }> | Tree[];

/** A place anywhere in a tree: its parent, and which of its children. */
function anyPlace(dice: Dice, tree: Tree): [parent: Node, index: number] | undefined {
  let node = tree;
  for (;;) {
    if (typeof node === "string") return undefined;
    const length = Array.isArray(node) ? node.length : node.fields.length;
    if (length === 0) return undefined;
    const index = Math.floor(dice.next() * length);
    const child: Tree = Array.isArray(node)
      ? node[index] ?? "null"
      : node.fields[index]?.[1] ?? "null";
    if (typeof child === "string" || dice.next() < 0.2) return [node, index];
    node = child;
  }
}

function changePlace(dice: Dice, [parent, index]: [Node, number]): string {
  const children: unknown[] = Array.isArray(parent) ? parent : parent.fields;
  const entry = Array.isArray(parent) ? undefined : parent.fields[index];
  const key = entry?.[0] ?? index;
  const set = (value: Tree): void => {
    if (Array.isArray(parent)) parent[index] = value;
    else if (entry !== undefined) entry[1] = value;
  };
  const value = Array.isArray(parent) ? parent[index] ?? "null" : entry?.[1] ?? "null";
  const chance = dice.next();
  if (chance < 0.55) {
    const text = junk(dice);
    set(text);
    return `${key} := ${text.slice(0, 40)}`;
  }
  if (chance < 0.67) {
    children.splice(index, 1);
    return `${key} dropped`;
  }
  if (chance < 0.75) {
    if (entry !== undefined) {
      entry[0] = JSON.stringify(
        dice.pick(["x", "", "price ", "PRICE", "__proto__", noise(dice, 20), noise(dice, 900)]),
      );
    }
    return `${key} renamed`;
  }
  if (chance < 0.85) {
    const twin = Array.isArray(parent)
      ? copyOf(value)
      : [entry?.[0] ?? `""`, dice.next() < 0.5 ? copyOf(value) : junk(dice)];
    children.splice(Math.floor(dice.next() * (children.length + 1)), 0, twin);
    return `${key} doubled`;
  }
  if (chance < 0.92) {
    // Another type with the same words: a number as text, a text as number, wrapped in a list.
    const text = textOf(value);
    set(
      text.startsWith('"')
        ? (/^"-?\d+(\.\d+)?"$/.test(text)
          ? text.slice(1, -1).replace(/^(-?)0+(?=\d)/, "$1")
          : [value])
        : dice.next() < 0.5
        ? [value]
        : JSON.stringify(text),
    );
    return `${key} of another type`;
  }
  children.reverse();
  return `order around ${key} reversed`;
}

function changeItem(dice: Dice, draft: Draft): string {
  const { items, home } = draft;
  const item = items[Math.floor(dice.next() * items.length)];
  if (item === undefined) return "no item left";
  const chance = dice.next();
  if (chance < 0.06) {
    item.tree = dice.next() < 0.8 ? junk(dice) : nested(dice);
    item.isTouched = true;
    return `an item := ${textOf(item.tree).slice(0, 40)}`;
  }
  if (chance < 0.1) {
    items.push({ ...item, tree: copyOf(item.tree), isTouched: true });
    return "an item doubled";
  }
  item.isTouched = true;
  if (chance < 0.6) {
    const keys = Object.values(KEYS[home.exchange]);
    const path = keys[Math.floor(dice.next() * keys.length)] ?? ["id"];
    const parent = at(item.tree, path.slice(0, -1));
    if (parent !== undefined && typeof parent !== "string" && "fields" in parent) {
      const index = parent.fields.findIndex(([key]) => key === JSON.stringify(path.at(-1)));
      if (index >= 0) return changePlace(dice, [parent, index]);
    }
    put(item.tree, path, junk(dice));
    return `${path.join(".")} put`;
  }
  const place = anyPlace(dice, item.tree);
  return place === undefined ? "nothing to change" : changePlace(dice, place);
}

function changeEnvelope(dice: Dice, draft: Draft): string {
  if (dice.next() < 0.3) {
    const total = draft.home.exchange === "binance" ? ["total"] : ["result", "count"];
    put(draft.envelope, total, junk(dice));
    return "total := junk";
  }
  const place = anyPlace(dice, draft.envelope);
  return place === undefined ? "nothing to change" : `envelope: ${changePlace(dice, place)}`;
}

function changeText(
  dice: Dice,
  text: string,
  done: string[],
): [string, Uint8Array<ArrayBuffer> | undefined] {
  const cut = Math.floor(dice.next() * text.length);
  const ways: [string, () => string | Uint8Array<ArrayBuffer>][] = [
    ["truncated", () => text.slice(0, cut)],
    ["two documents", () => text + dice.pick(["", "\n", ","]) + text],
    ["something behind it", () => text + dice.pick([" ", "\n\n", "\0", "}", "]", "//", "\ufeff"])],
    [
      "something before it",
      () => dice.pick(["\ufeff", " ", ")]}',\n", "\0", "<!-- -->", "callback("]) + text,
    ],
    ["HTML", () => `<!DOCTYPE html><html><body>${text}</body></html>`],
    ["nothing", () => dice.pick(["", " ", "null", "0", `""`, "[]", "{}", "true"])],
    ["nested", () => nested(dice)],
    ["UTF-16", () => new Uint8Array(new Uint16Array([...text].map((c) => c.charCodeAt(0))).buffer)],
    [
      "a piece taken out",
      () => text.slice(0, cut) + text.slice(cut + Math.floor(dice.between(1, 30))),
    ],
    [
      "a piece put in",
      () =>
        text.slice(0, cut) +
        dice.pick([`,`, `"`, `\\`, `}`, `]`, "\u0001", "\0", `\\u0000`, "1e999999", "𝕏"]) +
        text.slice(cut),
    ],
    ["a piece repeated", () => text.slice(0, cut) + text.slice(Math.max(0, cut - 200))],
    [
      "escaped",
      () =>
        text.replaceAll(
          /[A-Za-z]/g,
          (c) => dice.next() < 0.3 ? `\\u00${c.charCodeAt(0).toString(16)}` : c,
        ),
    ],
    ["white space", () => text.replaceAll(/([,:{}[\]])(?=["{[])/g, "$1 \t\r\n")],
  ];
  const [name, change] = ways[Math.floor(dice.next() * ways.length)] ?? ["none", () => text];
  done.push(name);
  const changed = change();
  return typeof changed === "string" ? [changed, undefined] : [text, changed];
}

function changeBytes(
  dice: Dice,
  bytes: Uint8Array<ArrayBuffer>,
  done: string[],
): Uint8Array<ArrayBuffer> {
  const changed = bytes.slice();
  if (changed.length === 0) return changed;
  const count = Math.floor(dice.between(1, 4));
  for (let i = 0; i < count; i++) {
    changed[Math.floor(dice.next() * changed.length)] = dice.next() < 0.5
      ? dice.pick([0xff, 0xc0, 0xed, 0x80, 0, 0xf5])
      : Math.floor(dice.next() * 256);
  }
  done.push(`${count} bytes changed`);
  return changed;
}

const STATUSES = [
  200,
  201,
  202,
  203,
  206,
  207,
  226,
  299,
  300,
  301,
  302,
  307,
  400,
  401,
  403,
  404,
  408,
  418,
  429,
  451,
  500,
  502,
  503,
  599,
] as const;
const TYPES = [
  "text/html",
  "text/plain",
  "application/octet-stream",
  "application/json; charset=utf-16",
  "",
  "x",
] as const;

function carry(
  dice: Dice,
  body: Uint8Array<ArrayBuffer>,
  done: string[],
): Pick<Answer, "status" | "headers" | "body" | "onWire"> {
  const headers: Record<string, string> = { "content-type": "application/json" };
  const chance = dice.next();
  if (chance < 0.03) {
    const status = dice.pick([...STATUSES]);
    done.push(`status ${status}`);
    return { status, headers, body, onWire: false };
  }
  if (chance < 0.06) {
    headers["content-type"] = dice.pick([...TYPES]);
    done.push(`content-type ${headers["content-type"]}`);
  }
  if (chance > 0.998) {
    const encoding = dice.pick([
      "gzip",
      "gzip cut",
      "gzip of nothing",
      "bomb",
      "deflate",
      "br",
      "unknown",
      "long",
    ]);
    done.push(`on the wire: ${encoding}`);
    headers["content-encoding"] = encoding.split(" ")[0] ?? "";
    if (encoding === "long") headers["content-encoding"] = "identity";
    if (encoding === "bomb") headers["content-encoding"] = "gzip";
    const packed = new Uint8Array(
      gzipSync(encoding === "bomb" ? new Uint8Array(40 * 1024 * 1024) : body),
    );
    const wire = {
      "gzip": packed,
      "gzip cut": packed.slice(0, packed.length >> 1),
      "gzip of nothing": new Uint8Array(),
      "bomb": packed,
      "long": new Uint8Array(9 * 1024 * 1024).fill(0x20),
    }[encoding] ?? body;
    return { status: 200, headers, body: wire, onWire: true };
  }
  if (chance > 0.9977) {
    // Up to the limit of a body, and just beyond.
    const size = dice.pick([1, 4, 8, 8.001]) * 1024 * 1024;
    done.push(`filled up to ${size} bytes`);
    const large = new Uint8Array(Math.max(body.length, Math.floor(size))).fill(0x20);
    large.set(body);
    return { status: 200, headers, body: large, onWire: false };
  }
  return { status: 200, headers, body, onWire: false };
}
