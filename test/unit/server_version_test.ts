import assert from "node:assert/strict";
import { requireVersion } from "../../src/database/migration_plan.ts";
import { ConfigurationError } from "../../src/errors.ts";

Deno.test("a server older than 15 is refused, and named", () => {
  requireVersion(150_000, "15.0", "db:5432/p2p");
  requireVersion(180_004, "18.4", "db:5432/p2p");
  assert.throws(
    () => requireVersion(140_011, "14.11 (Debian)", "db:5432/p2p"),
    new ConfigurationError(
      "the database at db:5432/p2p is PostgreSQL 14.11 (Debian); 15 or newer is needed",
    ),
  );
});
