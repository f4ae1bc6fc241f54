// Files that this project's own tests cannot run whole: container image, compose file, workflows.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import manifest from "../../deno.json" with { type: "json" };
import { ENVIRONMENT_NAMES, FILE_NAMES } from "../../src/config.ts";

const PROJECT = fileURLToPath(import.meta.resolve("../../"));
const KNOWN = new Set([...ENVIRONMENT_NAMES, ...FILE_NAMES]);

const read = (path: string): string => Deno.readTextFileSync(`${PROJECT}/${path}`);

interface Service {
  readonly image: string;
  readonly hostname?: string;
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly depends_on?: Readonly<Record<string, unknown>>;
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

const compose = parse(read("deploy/compose.yaml"), { merge: true }) as Compose;
const services = Object.entries(compose.services);

Deno.test("the compose file names what is there: files, volumes, secrets, services", async () => {
  for (const [name, service] of services) {
    for (const volume of service.volumes ?? []) {
      const [from = ""] = volume.split(":");
      if (from.startsWith("./")) await Deno.stat(`${PROJECT}/deploy/${from}`);
      else assert.ok(from in compose.volumes, `${name}: ${volume}`);
    }
    for (const secret of service.secrets ?? []) assert.ok(secret in compose.secrets, secret);
    for (const other of Object.keys(service.depends_on ?? {})) {
      assert.ok(other in compose.services, `${name} depends on ${other}`);
    }
    const text = JSON.stringify(service);
    for (const [, secret = ""] of text.matchAll(/\/run\/secrets\/(\w+)/g)) {
      assert.ok(service.secrets?.includes(secret), `${name} reads ${secret}`);
    }
  }
});

Deno.test("images are pinned, and nothing listens beyond the machine", () => {
  for (const [name, { image, ports }] of services) {
    assert.match(image, /:(v?\d+\.\d+\.\d+(-pg\d+)?|local)$/, `${name}: ${image}`);
    for (const port of ports ?? []) {
      assert.match(port, /^127\.0\.0\.1:\d+:\d+$/, `${name}: ${port}`);
    }
  }
  const ports = services.flatMap(([, service]) => service.ports ?? [])
    .map((port) => port.split(":")[1]);
  assert.equal(new Set(ports).size, ports.length);
  for (const [, image] of read("Dockerfile").matchAll(/^FROM (?:--\S+ )?(\S+)/gm)) {
    assert.match(image ?? "", /:(\d+\.\d+\.\d+|nonroot)$/);
  }
});

Deno.test("variables for the worker are ours, and those of .env are all named in its example", () => {
  for (const name of ["worker", "migrate"]) {
    for (const variable of Object.keys(compose.services[name]?.environment ?? {})) {
      assert.ok(KNOWN.has(variable), `${name}: ${variable}`);
    }
  }
  const used = [...read("deploy/compose.yaml").matchAll(/\$\{(\w+)/g)].map(([, name]) => name);
  const shown = [...read("deploy/.env.example").matchAll(/^(\w+)=$/gm)].map(([, name]) => name);
  assert.deepEqual([...new Set(used)].toSorted(), shown.toSorted());
});

Deno.test("secrets.sh makes every secret of the compose file, each with the password it belongs to, and keeps those there are", async () => {
  const folder = await Deno.makeTempDir({ prefix: "p2p-secrets-" });
  try {
    await Deno.copyFile(`${PROJECT}/deploy/secrets.sh`, `${folder}/secrets.sh`);
    const make = async (): Promise<Record<string, string>> => {
      const { success } = await new Deno.Command("sh", { args: [`${folder}/secrets.sh`] }).output();
      assert.ok(success);
      const files = Object.entries(compose.secrets).map(([name, { file }]) =>
        [name, Deno.readTextFileSync(`${folder}/${file}`).trim()] as const
      );
      return Object.fromEntries(files);
    };
    const secrets = await make();
    const passwords = Object.keys(secrets).filter((name) => name.endsWith("_password"));
    assert.equal(new Set(passwords.map((name) => secrets[name])).size, 4);
    for (const name of passwords) assert.match(secrets[name] ?? "", /^[0-9a-f]{48}$/);
    for (const [who, login] of [["owner", "p2p"], ["worker", "p2p_ingest"]]) {
      const url = new URL(secrets[`${who}_url`] ?? "");
      assert.equal(url.username, login);
      assert.equal(url.password, secrets[`${who}_password`]);
      assert.ok(url.hostname in compose.services);
    }
    assert.equal((await Deno.stat(`${folder}/secrets`)).mode, 0o40700);
    assert.deepEqual(await make(), secrets);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the image is built from all that the program imports, with the Deno of the README", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "main.ts"],
    cwd: PROJECT,
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
    modules: { specifier: string; error?: string }[];
  };
  const dockerfile = read("Dockerfile");
  const copied = [...dockerfile.matchAll(/^COPY ((?!--)[^\n]+) \S+$/gm)]
    .flatMap(([, paths]) => paths?.split(" ") ?? []);
  const kept = [...read(".dockerignore").matchAll(/^!(.+)$/gm)].map(([, path]) => path);
  assert.deepEqual(kept.toSorted(), copied.toSorted());
  const ours = modules.filter(({ specifier }) => specifier.startsWith("file:"));
  assert.ok(ours.length > 100);
  for (const { specifier, error } of ours) {
    const path = fileURLToPath(specifier).slice(PROJECT.length);
    assert.equal(error, undefined, path);
    assert.ok(copied.some((one) => path === one || path.startsWith(`${one}/`)), path);
    assert.ok(!path.startsWith("test/"), path);
  }
  assert.ok(
    read("README.md").includes(
      /denoland\/(deno:[\d.]+)/.exec(dockerfile)?.[1]?.replace(":", "@") ?? "?",
    ),
  );
});

Deno.test("Grafana gets every variable that its data sources name; Prometheus asks the worker by the name it answers to", () => {
  const { environment = {}, volumes = [], entrypoint = [] } = compose.services["grafana"] ?? {};
  const set = new Set([...Object.keys(environment), "P2P_DATABASE_PASSWORD"]); // from its secret
  const wanted = read("deploy/grafana/provisioning/datasources/p2p.yaml").matchAll(/\$\{(\w+)\}/g);
  for (const [, name = ""] of wanted) assert.ok(set.has(name), name);
  assert.match(
    entrypoint.join(" "),
    /P2P_DATABASE_PASSWORD=\$\$\(cat \/run\/secrets\/reader_password\)/,
  );
  // What the variables say is there, by the names that the other services have.
  for (const address of ["P2P_DATABASE_ADDRESS", "PROMETHEUS_URL"]) {
    const [, host = "", port] = /(\w+):(\d+)$/.exec(environment[address] ?? "") ?? [];
    assert.ok(host in compose.services, host);
    assert.equal(port, host === "database" ? "5432" : "9090");
  }
  const logins = read("deploy/compose/logins.sql");
  assert.ok(logins.includes(`('${environment["P2P_DATABASE_USER"]}', 'p2p_reader')`));
  assert.equal(
    environment["P2P_DATABASE"],
    compose.services["database"]?.environment?.["POSTGRES_DB"],
  );
  // Where Grafana looks, and where the dashboards are mounted.
  const provider = parse(read("deploy/grafana/provisioning/dashboards/p2p.yaml")) as {
    providers: { options: { path: string } }[];
  };
  assert.ok(
    volumes.includes(`./grafana/dashboards:${provider.providers[0]?.options.path}:ro`),
    String(volumes),
  );
  const { rule_files } = parse(read("deploy/prometheus/prometheus.yml")) as {
    rule_files: string[];
  };
  const mounted = compose.services["prometheus"]?.volumes ?? [];
  for (const file of rule_files) {
    assert.ok(mounted.includes(`./prometheus/${file}:/etc/prometheus/${file}:ro`), file);
  }
  const prometheus = parse(read("deploy/prometheus/prometheus.yml")) as {
    scrape_configs: { static_configs: { targets: string[] }[] }[];
  };
  assert.deepEqual(prometheus.scrape_configs[0]?.static_configs[0]?.targets, ["worker:9090"]);
  assert.equal(compose.services["worker"]?.hostname, "worker");
});

interface Workflow {
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: Readonly<
    Record<string, {
      readonly uses?: string;
      readonly permissions?: Readonly<Record<string, string>>;
      readonly steps?: readonly { readonly uses?: string; readonly run?: string }[];
    }>
  >;
}

Deno.test("workflows: pinned actions, scripts that the shell can read, no permission to write but for the release", async () => {
  for (const name of ["ci", "release"]) {
    const workflow = parse(read(`.github/workflows/${name}.yml`)) as Workflow;
    assert.deepEqual(workflow.permissions, { contents: "read" });
    for (const [job, { uses, steps = [], permissions = {} }] of Object.entries(workflow.jobs)) {
      if (uses !== undefined) await Deno.stat(`${PROJECT}/${uses}`);
      const writes = Object.values(permissions).filter((kind) => kind === "write").length;
      assert.equal(writes, job === "executables" || job === "image" ? 1 : 0, job);
      for (const step of steps) {
        if (step.uses !== undefined) assert.match(step.uses, /@v\d+/);
        for (const [, script] of (step.run ?? "").matchAll(/(?<=^|\s)(\.\/\S+)/g)) {
          await Deno.stat(`${PROJECT}/${script}`);
        }
        const { code, stderr } = await new Deno.Command("bash", {
          args: ["-n", "-c", step.run ?? ""],
        }).output();
        assert.equal(code, 0, new TextDecoder().decode(stderr));
      }
    }
  }
  const deno = /deno@([\d.]+)/.exec(read(".ci/run"))?.[1];
  assert.ok(read(".github/workflows/release.yml").includes(`deno@${deno}`));
  assert.ok(read("Dockerfile").includes(`denoland/deno:${deno}`));
  assert.ok(manifest.tasks.compile.command.includes("$TARGET"));
});
