/** The Markdown of the project: its fenced blocks with what is said of them, headings and links. */
import { fileURLToPath } from "node:url";

const PROJECT = fileURLToPath(import.meta.resolve("../../"));

/** What an HTML comment before a block, or below a heading for its section, says of it. */
export interface Mark {
  readonly kind: "not run" | "run by" | "file";
  readonly text: string;
}

export interface Block {
  readonly file: string;
  /** Of its opening fence, from 1. */
  readonly line: number;
  readonly language: string;
  /** Without the fences and their indentation; every line ends with a line break. */
  readonly text: string;
  readonly mark: Mark | undefined;
}

export interface Link {
  readonly file: string;
  readonly line: number;
  readonly target: string;
  /** In quotes behind the target. */
  readonly title: string | undefined;
}

const MARK = /^<!-- (not run|run by|file): (.*) -->$/;

/** Every document, as a path below the project. */
export async function documentPaths(): Promise<string[]> {
  const paths: string[] = [];
  for (const folder of ["", "docs/", "sql/", "deploy/"]) {
    for await (const { name, isFile } of Deno.readDir(`${PROJECT}/${folder}`)) {
      if (isFile && name.endsWith(".md")) paths.push(`${folder}${name}`);
    }
  }
  return paths.sort();
}

export const readDocument = (path: string): string => Deno.readTextFileSync(`${PROJECT}/${path}`);

/** Whether there is such a file or folder in the project. */
export function isThere(path: string): boolean {
  try {
    return Deno.statSync(`${PROJECT}/${path}`) !== undefined;
  } catch {
    return false;
  }
}

/** The fenced blocks of a document, in order. */
export function blocksOf(file: string, text = readDocument(file)): Block[] {
  const blocks: Block[] = [];
  const sections: { readonly depth: number; readonly mark: Mark | undefined }[] = [];
  let mark: Mark | undefined;
  let isBelowHeading = false;
  const lines = text.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] ?? "";
    const [, indent, language] = /^( *)```(\w*)/.exec(line) ?? [];
    const [, sharps] = /^(#+) /.exec(line) ?? [];
    const [, kind, about] = MARK.exec(line.trim()) ?? [];
    if (indent !== undefined) {
      const end = lines.findIndex((other, j) => j > i && other.trim() === "```");
      const body = lines.slice(i + 1, end).map((each) => each.slice(indent.length));
      blocks.push({
        file,
        line: i + 1,
        language: language ?? "",
        text: body.map((each) => `${each}\n`).join(""),
        mark: mark ?? sections.findLast((section) => section.mark !== undefined)?.mark,
      });
      i = end;
      mark = undefined;
    } else if (sharps !== undefined) {
      while ((sections.at(-1)?.depth ?? 0) >= sharps.length) sections.pop();
      sections.push({ depth: sharps.length, mark: undefined });
      isBelowHeading = true;
      continue;
    } else if (kind !== undefined) {
      const found: Mark = { kind: kind as Mark["kind"], text: about ?? "" };
      const section = sections.at(-1);
      if (isBelowHeading && section !== undefined && kind !== "file") {
        sections[sections.length - 1] = { ...section, mark: found };
      } else {
        mark = found;
      }
    } else if (line.trim() !== "") {
      mark = undefined;
    }
    if (line.trim() !== "") isBelowHeading = false;
  }
  return blocks;
}

/** Whether a reader would type what stands in it. */
export function isCode({ language, text }: Block): boolean {
  if (["sh", "bash", "console", "sql"].includes(language)) return true;
  return ["", "text"].includes(language) && /^([$#] |p2p=[>#] )/m.test(text);
}

/** The document without its blocks and comments, and with its lines. */
function proseOf(text: string): string {
  return text.replaceAll(
    /^( *)```[^]*?^ *```$|<!--[^]*?-->/gm,
    (block) => block.replaceAll(/[^\n]/g, ""),
  )
    .replaceAll(/`[^`\n]*`/g, (code) => " ".repeat(code.length));
}

export function linksOf(file: string, text = readDocument(file)): Link[] {
  const prose = proseOf(text);
  return [...prose.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"([^"]*)")?\s*\)/g)].map((match) => ({
    file,
    line: prose.slice(0, match.index).split("\n").length,
    target: match[1] ?? "",
    title: match[2]?.replaceAll(/\s+/g, " "),
  }));
}

/** The anchors of a document's headings, as GitHub makes them. */
export function anchorsOf(file: string, text = readDocument(file)): Set<string> {
  const anchors = new Set<string>();
  const bare = text.replaceAll(/^( *)```[^]*?^ *```$/gm, "");
  for (const [, heading = ""] of bare.matchAll(/^#+ (.*)$/gm)) {
    const plain = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const anchor = plain.replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, "").replaceAll(" ", "-");
    let unique = anchor;
    for (let n = 1; anchors.has(unique); n++) unique = `${anchor}-${n}`;
    anchors.add(unique);
  }
  return anchors;
}

/** Whether a file of tests has a test or a step whose name begins so. `…` stands for what the test computes. */
export function hasTest(path: string, name: string): boolean {
  if (!isThere(path)) return false;
  const escaped = name.split("…").map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return new RegExp(`(?:[tT]est\\(|step\\(|name:)\\s*(["'\`])${escaped.join("[^\\n]*")}[^\\n]*\\1`)
    .test(readDocument(path));
}
