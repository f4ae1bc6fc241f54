// `deno task documents`: runs the commands of docs/tutorial.md and docs/how-to.md, and writes what they print below them
// where what stands there has another shape.
import { type Block, blocksOf, readDocument } from "./support/documents.ts";
import { commandsOf, DocumentSession } from "./support/document_session.ts";
import { misfit } from "./support/document_shape.ts";

const PATHS = ["docs/tutorial.md", "docs/how-to.md"];

function withText(lines: readonly string[], { line }: Block, text: string): string[] {
  const end = lines.findIndex((other, i) => i >= line && other.trim() === "```");
  return [...lines.slice(0, line), ...text.replace(/\n$/, "").split("\n"), ...lines.slice(end)];
}

const blocks = PATHS.flatMap((path) => blocksOf(path));
const commands = commandsOf(blocks);
await using session = await DocumentSession.create();
const outcomes = await session.run(commands);
const texts = new Map<Block, string>();
for (const [i, { block, shown, output }] of commands.entries()) {
  const came =
    outcomes[i]?.output.replaceAll(/[ \t]+$/gm, "").replace(/\n*$/, "\n").replace(/^\n$/, "") ??
      "";
  const kept = misfit(output, came) === undefined ? output : came;
  if (block.language === "console") texts.set(block, (texts.get(block) ?? "") + shown + kept);
  const next = blocks[blocks.indexOf(block) + 1];
  if (block.language === "sql" && next?.language === "text" && next.file === block.file) {
    texts.set(next, kept);
  }
}
for (const path of PATHS) {
  let lines = readDocument(path).split("\n");
  for (const block of blocks.filter(({ file }) => file === path).reverse()) {
    const text = texts.get(block);
    if (text !== undefined) lines = withText(lines, block, text);
  }
  await Deno.writeTextFile(new URL(`../${path}`, import.meta.url), lines.join("\n"));
}
