// `deno task reference`: writes docs/reference.md, deploy/p2p-ingest.1 and the README's tables of variables and numbers anew.
import { referenceFiles } from "./support/reference.ts";

for (const [path, text] of await referenceFiles()) {
  const file = new URL(`../${path}`, import.meta.url);
  await Deno.mkdir(new URL(".", file), { recursive: true });
  await Deno.writeTextFile(file, text);
}
