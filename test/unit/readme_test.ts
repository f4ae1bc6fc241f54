import assert from "node:assert/strict";
import { ENVIRONMENT_NAMES, loadConfig } from "../../src/config.ts";
import { EXIT } from "../../src/errors.ts";

const readme = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));

Deno.test("the README names every variable with the default that is in force", () => {
  const defaults = loadConfig({}) as Record<string, unknown>;
  for (const name of ENVIRONMENT_NAMES) {
    const value = defaults[name];
    const isPlain = typeof value === "string" || typeof value === "number" ||
      typeof value === "boolean";
    const inTable = isPlain ? `\`${name}\` | \`${value}\`` : `\`${name}\` |`;
    const inList = isPlain ? `\`${name}\` (\`${value}\`)` : `\`${name}\``;
    assert.ok(flat.includes(inTable) || flat.includes(inList), `${name} with ${String(value)}`);
  }
});

Deno.test("the README names every exit code", () => {
  for (const code of Object.values(EXIT)) assert.ok(flat.includes(`| ${code} |`), String(code));
});

Deno.test("the README's commands for the demo and the tests name the Deno that the project is built with", () => {
  for (const task of ["demo", "test"]) assert.ok(readme.includes(`npx -y deno@2.9.6 task ${task}`));
});

Deno.test("every file that the README points at is there", async () => {
  const links = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map(([, path]) => path ?? "");
  assert.ok(links.length >= 2);
  for (const path of links) await Deno.stat(new URL(`../../${path}`, import.meta.url));
});

/** Lines of a list may be broken anywhere. */
const flat = readme.replaceAll(/\s+/g, " ");
