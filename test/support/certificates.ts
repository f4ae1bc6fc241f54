/** Certificates made by openssl, as an administrator makes them. */
import { join } from "node:path";

export interface Certificate {
  /** Paths of PEM files. */
  readonly certificate: string;
  readonly key: string;
}

export interface IssueOptions {
  /** e.g. `DNS:localhost`, `IP:127.0.0.1` */
  readonly names: string;
  /** From now; -1: expired a day ago. */
  readonly days?: number;
}

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

export async function hasOpenssl(): Promise<boolean> {
  return await new Deno.Command("openssl", { args: ["version"], stdout: "null" }).output()
    .then(({ success }) => success, () => false);
}

/** An authority of its own in a folder. */
export class Authority {
  private constructor(readonly folder: string, readonly name: string) {}

  /** PEM file that clients trust. */
  get certificate(): string {
    return join(this.folder, `${this.name}.pem`);
  }

  static async make(folder: string, name: string): Promise<Authority> {
    const authority = new Authority(folder, name);
    await openssl(folder, [
      ...["req", "-x509", ...KEY, "-keyout", `${name}.key`, "-out", `${name}.pem`],
      ...["-subj", `/CN=${name}`, "-days", "2"],
    ]);
    return authority;
  }

  /** @param commonName also the name of the files */
  async issue(commonName: string, { names, days = 2 }: IssueOptions): Promise<Certificate> {
    const file = (kind: string) => `${this.name}-${commonName}.${kind}`;
    await openssl(this.folder, [
      ...["req", ...KEY, "-keyout", file("key"), "-out", file("csr"), "-subj", `/CN=${commonName}`],
    ]);
    await Deno.writeTextFile(join(this.folder, file("ext")), `subjectAltName=${names}\n`);
    await openssl(this.folder, [
      ...["x509", "-req", "-in", file("csr"), "-out", file("pem"), "-extfile", file("ext")],
      ...["-CA", `${this.name}.pem`, "-CAkey", `${this.name}.key`, "-CAcreateserial"],
      ...["-days", String(days)],
    ]);
    return {
      certificate: join(this.folder, file("pem")),
      key: join(this.folder, file("key")),
    };
  }
}

async function openssl(cwd: string, args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args, cwd }).output();
  if (!success) throw new Error(`openssl ${args[0]}: ${new TextDecoder().decode(stderr)}`);
}
