/** The dashboards of deploy/grafana, and what Grafana makes of their queries before it sends them. */

export interface Target {
  readonly panel: string;
  readonly query: string;
  readonly format: string;
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly schemaVersion: number;
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly datasource: { readonly type: string; readonly uid: string };
    readonly gridPos: {
      readonly x: number;
      readonly y: number;
      readonly w: number;
      readonly h: number;
    };
    readonly targets: readonly {
      readonly expr?: string;
      readonly rawSql?: string;
      readonly format?: string;
      readonly datasource: { readonly uid: string };
    }[];
  }[];
  readonly templating: {
    readonly list: readonly {
      readonly name: string;
      readonly type: string;
      readonly query: string;
    }[];
  };
}

export function readDashboard(name: "operations" | "market"): Dashboard {
  const file = new URL(`../../deploy/grafana/dashboards/${name}.json`, import.meta.url);
  return JSON.parse(Deno.readTextFileSync(file));
}

export function targetsOf(dashboard: Dashboard): Target[] {
  return dashboard.panels.flatMap(({ title, targets }) =>
    targets.map(({ expr, rawSql, format }) => ({
      panel: title,
      query: expr ?? rawSql ?? "",
      format: format ?? "",
    }))
  );
}

/** SQL with its macros and variables replaced: the few that the dashboards use; any other is an error. */
export function expandSql(
  text: string,
  variables: Readonly<Record<string, string>>,
  [from, to]: readonly [string, string],
): string {
  const expanded = text
    .replace(/\$__timeFilter\(([^()]+)\)/g, `$1 between '${from}' and '${to}'`)
    .replace(/\$\{(\w+):sqlstring\}/g, (_, name) => {
      const value = variables[name];
      if (value === undefined) throw new Error(`there is no variable ${name}`);
      return `'${value.replaceAll("'", "''")}'`;
    });
  if (/\$/.test(expanded)) throw new Error(`not expanded: ${expanded}`);
  return expanded;
}

/** PromQL with Grafana's own variable replaced. */
export function expandPromQl(text: string): string {
  const expanded = text.replaceAll("$__rate_interval", "5m");
  if (/\$/.test(expanded)) throw new Error(`not expanded: ${expanded}`);
  return expanded;
}
