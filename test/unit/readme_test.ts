import assert from "node:assert/strict";
import { EXIT, EXIT_MEANINGS } from "../../src/errors.ts";

const readme = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));

// Its table of variables is made by `deno task reference`, and checked with what that makes.

Deno.test("the README names every exit code with its meaning", () => {
  for (const name of Object.keys(EXIT) as (keyof typeof EXIT)[]) {
    assert.ok(flat.includes(`| ${EXIT[name]} | ${EXIT_MEANINGS[name]} |`), name);
  }
});

Deno.test("the README's commands for the demo and the tests name the Deno that the project is built with", () => {
  for (const task of ["demo", "test"]) assert.ok(readme.includes(`npx -y deno@2.9.6 task ${task}`));
});

/** Lines of a list may be broken anywhere. */
const flat = readme.replaceAll(/\s+/g, " ");
