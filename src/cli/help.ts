import { commandLine, lineBreak, type Message, message, text } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import type { Parser } from "@optique/core/parser";
import { flag } from "@optique/core/primitives";

/** The footer of a command's help: lines to type, and what they do. */
export function examples(...lines: readonly (readonly [command: string, does: string])[]): Message {
  return [
    text("Examples:"),
    ...lines.flatMap(([command, does]) => [
      lineBreak(),
      text("  "),
      commandLine(command),
      lineBreak(),
      text(`      ${does}`),
    ]),
  ];
}

/** `--json`: one document on stdout, messages on stderr. */
export function jsonFlag(
  description: Message = message`Print one JSON document.`,
): Parser<"sync", boolean, unknown> {
  return withDefault(flag("--json", { description }), false) as Parser<"sync", boolean, unknown>;
}
