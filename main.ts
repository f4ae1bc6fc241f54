import { program } from "./src/cli/program.ts";

Deno.exit(await program(Deno.args));
