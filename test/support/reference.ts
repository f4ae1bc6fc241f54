/** docs/reference.md, the man page and the README's tables of variables and numbers, from where they are defined. */
import { formatMessage, type Message } from "@optique/core/message";
import { getDocPageSync } from "@optique/core/parser";
import { formatUsage, formatUsageTerm } from "@optique/core/usage";
import { commands } from "../../src/cli/program.ts";
import { loadConfig, SECRETS } from "../../src/config.ts";
import { EXIT, EXIT_MEANINGS } from "../../src/errors.ts";
import { VARIABLES } from "../../src/variables.ts";
import { VERSION } from "../../src/version.ts";
import { type BenchResults, withNumbers } from "./bench_numbers.ts";
import { withBlock } from "./marked_block.ts";

const NAME = "p2p-ingest";

interface Entry {
  readonly name: string;
  readonly about: string;
}

export interface Example {
  readonly command: string;
  readonly does: string;
}

/** A command or subcommand. */
export interface CommandPage {
  /** e.g. `sql diff` */
  readonly name: string;
  readonly usage: string;
  readonly brief: string;
  /** Empty where it is the one of the command above. */
  readonly description: string;
  readonly options: readonly Entry[];
  readonly subcommands: readonly string[];
  readonly examples: readonly Example[];
}

const plain = (message: Message | undefined): string =>
  message === undefined ? "" : formatMessage(message, { colors: false, quotes: false }).trim();

/** Every command, each before its subcommands. */
export function commandPages(path: readonly string[] = []): CommandPage[] {
  const page = getDocPageSync(commands, [...path]);
  if (page === undefined) throw new Error(`no help for ${path.join(" ")}`);
  const above = getDocPageSync(commands, path.slice(0, -1));
  const entries = page.sections.flatMap(({ entries }) => entries);
  const subcommands = entries.flatMap(({ term }) => term.type === "command" ? [term.name] : []);
  const isSame = path.length > 1 && plain(page.description) === plain(above?.description);
  const own: CommandPage = {
    name: path.join(" "),
    usage: subcommands.length > 0
      ? `${NAME} ${path.join(" ")} COMMAND`
      : formatUsage(NAME, page.usage ?? [], { colors: false }),
    brief: plain(page.brief),
    description: isSame ? "" : plain(page.description),
    options: entries.filter(({ term }) => term.type !== "command").map((entry) => ({
      name: formatUsageTerm(entry.term, { colors: false, optionsSeparator: ", " }),
      about: plain(entry.description) +
        (entry.default === undefined ? "" : ` [${plain(entry.default)}]`),
    })),
    subcommands,
    examples: path.length > 1 ? [] : examplesOf(page.footer ?? []),
  };
  const below = subcommands.flatMap((name) => commandPages([...path, name]));
  return path.length === 0 ? below : [own, ...below];
}

/** What `examples` of src/cli/help.ts made. */
function examplesOf(footer: Message): Example[] {
  return footer.flatMap((term, i) => {
    if (term.type !== "commandLine") return [];
    const does = footer[i + 2];
    return [{ command: term.commandLine, does: does?.type === "text" ? does.text.trim() : "" }];
  });
}

interface VariableRow {
  readonly name: string;
  readonly standard: string;
  readonly about: string;
}

function variableRows(): VariableRow[] {
  const defaults = loadConfig({}) as Readonly<Record<string, unknown>>;
  return Object.entries(VARIABLES).map(([name, { about, otherwise }]) => {
    const value = defaults[name];
    const fixed = Array.isArray(value) ? listed(value) : value === undefined ? "" : `\`${value}\``;
    return { name, standard: otherwise ?? fixed, about };
  });
}

/** MARKETS and EXCHANGES are read into lists. */
function listed(values: readonly unknown[]): string {
  const text = values.map((value) =>
    typeof value === "string" ? value : Object.values(value as object).join("/")
  );
  return `\`${text.join(",")}\``;
}

const tableRow = (...cells: readonly string[]): string =>
  `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`;

function variableTable(): string {
  return tableRow("variable", "default", "") + tableRow("---", "---", "---") +
    variableRows().map(({ name, standard, about }) => tableRow(`\`${name}\``, standard, about))
      .join("");
}

const BEGIN = "<!-- variables: deno task reference -->";
const END = "<!-- end of variables -->";

/** The README with its table of variables made anew. */
function withVariables(readme: string): string {
  return withBlock(readme, BEGIN, END, variableTable().trimEnd());
}

/** Tables and views of the dump, with their comments. */
function relations(schema: string): Entry[] {
  const comment = /^COMMENT ON (?:TABLE|VIEW) p2p\.(\w+) IS '((?:[^']|'')*)';$/gm;
  return [...schema.matchAll(comment)]
    .map(([, name = "", about = ""]) => ({ name, about: about.replaceAll("''", "'") }))
    .sort((a, b) => a.name < b.name ? -1 : 1);
}

/** Columns that have a comment, as `relation.column`. */
function columns(schema: string): Entry[] {
  const comment = /^COMMENT ON COLUMN p2p\.(\w+\.\w+) IS '((?:[^']|'')*)';$/gm;
  return [...schema.matchAll(comment)]
    .map(([, name = "", about = ""]) => ({ name, about: about.replaceAll("''", "'") }))
    .sort((a, b) => a.name < b.name ? -1 : 1);
}

/** Functions with their arguments, but for triggers and those that `migrate` alone calls. */
function functions(schema: string): Entry[] {
  const comment = /^COMMENT ON FUNCTION p2p\.(\w+)\((.*)\) IS '((?:[^']|'')*)';$/gm;
  const isTrigger = (name: string) =>
    new RegExp(`^CREATE FUNCTION p2p\\.${name}\\(\\) RETURNS trigger$`, "m").test(schema);
  return [...schema.matchAll(comment)]
    .map(([, name = "", args = "", about = ""]) => ({
      name,
      args,
      about: about.replaceAll("''", "'"),
    }))
    .filter(({ name, about }) => !isTrigger(name) && !/used by the migrate command/.test(about))
    .map(({ name, args, about }) => ({ name: `${name}(${shortened(args)})`, about }));
}

/** Arguments by name and type, without the prefix that each has. */
const shortened = (args: string): string =>
  args.split(", ").filter((arg) => !arg.startsWith("OUT ")).map((arg) => arg.replace(/^p_/, ""))
    .join(", ").replaceAll("timestamp with time zone", "timestamptz");

/** Headings, rule and rows of the table of docs/metrics.md, which a test compares with a scrape. */
function metricsTable(page: string): string {
  const [table = ""] = /^\| metric .*\n(?:\|.*\n)+/m.exec(page) ?? [];
  if (table === "") throw new Error("docs/metrics.md has no table of metrics");
  return table;
}

/** @param schema the text of sql/schema.sql @param metrics that of docs/metrics.md */
function referencePage(schema: string, metrics: string): string {
  const pages = commandPages();
  return [
    `# Reference\n\nOf version ${VERSION}; made by \`deno task reference\` from the program itself. The same as a man page:\n` +
    `\`man -l deploy/p2p-ingest.1\`.\n`,
    "## Commands\n",
    `<!-- run by: test/unit/reference_test.ts "every example is one that a shell and the program understand" -->\n`,
    ...pages.map(commandSection),
    "## Environment\n",
    variableTable(),
    `Each of ${
      [...SECRETS].map((name) => `\`${name}\``).join(", ")
    } may come from a file instead, named by \`<NAME>_FILE\`.\n`,
    "## Exit codes\n",
    tableRow("code", "means") + tableRow("---", "---") +
    exitCodes().map(({ name, about }) => tableRow(name, about)).join(""),
    "## Relations\n\nSchema `p2p` on plain PostgreSQL; `\\d+ p2p.<name>` explains every column.\n",
    tableRow("relation", "holds") + tableRow("---", "---") +
    relations(schema).map(({ name, about }) => tableRow(`\`${name}\``, escaped(about))).join(""),
    "## Columns\n\nThose whose name does not say it all.\n",
    tableRow("column", "is") + tableRow("---", "---") +
    columns(schema).map(({ name, about }) => tableRow(`\`${name}\``, escaped(about))).join(""),
    "## Functions\n\nIn schema `p2p`; `\\sf p2p.<name>` shows the text. Most are called by the worker and by each other;\n" +
    "all may be called by the owner.\n",
    tableRow("function", "does") + tableRow("---", "---") +
    functions(schema).map(({ name, about }) => tableRow(`\`${name}\``, escaped(about))).join(""),
    "## Metrics\n\nWhere each comes from: [metrics.md](metrics.md).\n",
    metricsTable(metrics),
  ].join("\n");
}

const escaped = (text: string): string => text.replaceAll(/[*<>]/g, (sign) => `\\${sign}`);

function commandSection(page: CommandPage): string {
  const depth = "#".repeat(2 + page.name.split(" ").length);
  return [
    `${depth} ${page.name}\n`,
    `${escaped(page.brief)}\n`,
    "```\n" + page.usage + "\n```\n",
    ...(page.description === "" ? [] : [`${escaped(page.description)}\n`]),
    ...(page.options.length === 0
      ? []
      : [page.options.map(({ name, about }) => `- \`${name}\`: ${escaped(about)}\n`).join("")]),
    ...(page.examples.length === 0 ? [] : [
      "```sh\n" +
      page.examples.map(({ command, does }) => `${command}    # ${does}\n`).join("") + "```\n",
    ]),
  ].join("\n");
}

function exitCodes(): Entry[] {
  return Object.entries(EXIT_MEANINGS).map(([name, about]) => ({
    name: String(EXIT[name as keyof typeof EXIT]),
    about,
  }));
}

/** The man page, for man(7). */
function manPage(): string {
  return [
    `.\\" Made by deno task reference.`,
    `.TH P2P-INGEST 1 "" "p2p-ingest ${VERSION}"`,
    ".SH NAME",
    `${NAME} \\- ${roff("all of Binance P2P, every ten minutes, in your own PostgreSQL")}`,
    ".SH SYNOPSIS",
    `.B ${roff(NAME)}`,
    ".I COMMAND",
    "[OPTION]...",
    ".SH DESCRIPTION",
    roff("Data goes to stdout, messages to stderr. Configuration is in the environment."),
    ".SH COMMANDS",
    ...commandPages().flatMap(manSection),
    ".SH ENVIRONMENT",
    ...variableRows().flatMap(({ name, standard, about }) => [
      ".TP",
      `.B ${roff(name)}`,
      roff(unmarked([about, standard === "" ? "" : `[${standard}]`].filter((t) => t).join(" "))) ||
      "\\&",
    ]),
    ".PP",
    roff(`Each of ${[...SECRETS].join(", ")} may come from a file instead, named by <NAME>_FILE.`),
    ".SH EXIT STATUS",
    ...exitCodes().flatMap(({ name, about }) => [".TP", `.B ${name}`, roff(unmarked(about))]),
    ".SH SEE ALSO",
    ".BR psql (1)",
    "",
  ].join("\n");
}

const unmarked = (markdown: string): string => markdown.replaceAll("`", "");

/** Text of one line: no requests, and hyphens that can be copied. */
function roff(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("\n", " ")
    .replace(/^[.']/, "\\&$&")
    .replaceAll(
      /[^\x20-\x7e]/gu,
      (sign) => `\\[u${(sign.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}]`,
    );
}

function manSection(page: CommandPage): string[] {
  return [
    `.SS ${roff(page.name)}`,
    ...(page.brief === "" ? [] : [roff(page.brief)]),
    ".PP",
    ".nf",
    roff(page.usage),
    ".fi",
    ...(page.description === "" ? [] : [".PP", roff(page.description)]),
    ...page.options.flatMap(({ name, about }) => [".TP", `.B ${roff(name)}`, roff(about) || "\\&"]),
    ...page.examples.flatMap(({ command, does }) => [
      ".PP",
      `${roff(does)}:`,
      ".RS",
      ".nf",
      roff(command),
      ".fi",
      ".RE",
    ]),
  ];
}

/** The text as `deno fmt` would have it. */
async function formatted(markdown: string): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--line-width", "100", "--ext", "md", "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const [, { stdout }] = await Promise.all([
    new Blob([markdown]).stream().pipeTo(child.stdin),
    child.output(),
  ]);
  return new TextDecoder().decode(stdout);
}

const file = (path: string): URL => new URL(`../../${path}`, import.meta.url);

/** What the files are to be, by path below the project. */
export async function referenceFiles(): Promise<ReadonlyMap<string, string>> {
  const schema = await Deno.readTextFile(file("sql/schema.sql"));
  const readme = await Deno.readTextFile(file("README.md"));
  const metrics = await Deno.readTextFile(file("docs/metrics.md"));
  const numbers: BenchResults = JSON.parse(
    await Deno.readTextFile(file("docs/bench-results.json")),
  );
  return new Map([
    ["docs/reference.md", await formatted(referencePage(schema, metrics))],
    ["deploy/p2p-ingest.1", manPage()],
    ["README.md", await formatted(withNumbers(withVariables(readme), numbers))],
  ]);
}
