/**
 * Stands for Slack, PagerDuty and a service of one's own: takes what their documentation says they take, refuses the rest
 * with their status codes, and misbehaves on request.
 */
import { z } from "zod";

export interface ReceivedAlert {
  readonly service: Service;
  /** As it came. */
  readonly text: string;
  readonly document: Readonly<Record<string, unknown>>;
}

export type Service = "slack" | "pagerduty" | "webhook";

/** What the next request meets instead of being taken. */
export type Trouble =
  | { readonly status: number; readonly retryAfter?: string }
  /** Taken, and never answered. */
  | "silent";

export interface AlertReceiver extends AsyncDisposable {
  readonly url: string;
  readonly received: readonly ReceivedAlert[];
  /** All requests, those that met trouble included. */
  readonly requests: number;
  /** What was refused for its shape. */
  readonly refused: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  /** For the next requests, one each. */
  readonly trouble: Trouble[];
  of(service: Service): Readonly<Record<string, unknown>>[];
}

/** Planted, to be looked for where it must not be. */
export const SECRETS = {
  slackPath: "T00000000/B11111111/xoxSECRETslack42",
  routingKey: "0123456789abcdef0123456789SECRET",
  webhookKey: "key-SECRET-webhook",
} as const;

/** docs.slack.dev: an incoming webhook takes text, or blocks; text of at most 40,000 characters. */
const slackShape = z.strictObject({ text: z.string().min(1).max(40_000) });

/** developer.pagerduty.com, Events API v2. */
const pagerDutyShape = z.strictObject({
  routing_key: z.string().length(32),
  event_action: z.enum(["trigger", "acknowledge", "resolve"]),
  dedup_key: z.string().min(1).max(255),
  client: z.string().optional(),
  client_url: z.string().optional(),
  payload: z.strictObject({
    summary: z.string().min(1).max(1024),
    source: z.string().min(1),
    severity: z.enum(["critical", "error", "warning", "info"]),
    timestamp: z.iso.datetime().optional(),
    component: z.string().optional(),
    group: z.string().optional(),
    class: z.string().optional(),
    custom_details: z.record(z.string(), z.unknown()).optional(),
  }),
});

/** docs/alerts.md */
const webhookShape = z.strictObject({
  version: z.literal(1),
  program: z.string().startsWith("p2p-ingest "),
  state: z.enum(["open", "resolved"]),
  kind: z.string().regex(/^[a-z_]+$/),
  subject: z.string(),
  severity: z.enum(["critical", "error", "warning", "info"]),
  message: z.string().min(1).max(1000),
  since: z.iso.datetime(),
  lasted_seconds: z.number().nullable(),
  worker: z.string().min(1),
  database: z.string().min(1),
  dedup_key: z.string().max(255),
});

const SERVICES: Readonly<Record<string, { service: Service; shape: z.ZodType; ok: number }>> = {
  [`/services/${SECRETS.slackPath}`]: { service: "slack", shape: slackShape, ok: 200 },
  "/v2/enqueue": { service: "pagerduty", shape: pagerDutyShape, ok: 202 },
  [`/hook?key=${SECRETS.webhookKey}`]: { service: "webhook", shape: webhookShape, ok: 204 },
};

export function startAlertReceiver(): AlertReceiver {
  const received: ReceivedAlert[] = [];
  const refused: string[] = [];
  const trouble: Trouble[] = [];
  const silent: (() => void)[] = [];
  let requests = 0;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, answer);
  async function answer(request: Request): Promise<Response> {
    requests++;
    const { pathname, search } = new URL(request.url);
    const found = SERVICES[pathname + search];
    const text = await request.text();
    const next = trouble.shift();
    if (next === "silent") await new Promise<void>((resolve) => silent.push(resolve));
    if (typeof next === "object") {
      const headers = next.retryAfter === undefined ? {} : { "retry-after": next.retryAfter };
      return new Response("no", { status: next.status, headers });
    }
    if (found === undefined) return new Response("no_service", { status: 404 });
    const isJson = request.headers.get("content-type")?.startsWith("application/json") ?? false;
    const parsed = found.shape.safeParse(
      isJson && request.method === "POST" ? JSON.parse(text) : 0,
    );
    if (!parsed.success) {
      refused.push(`${found.service}: ${parsed.error.message} ${text}`);
      return new Response("invalid_payload", { status: 400 });
    }
    received.push({ service: found.service, text, document: parsed.data as never });
    return new Response(found.ok === 204 ? null : "ok", { status: found.ok });
  }
  const url = `http://127.0.0.1:${server.addr.port}`;
  return {
    url,
    received,
    refused,
    trouble,
    get requests() {
      return requests;
    },
    variables: {
      SLACK_WEBHOOK_URL: `${url}/services/${SECRETS.slackPath}`,
      PAGERDUTY_EVENTS_URL: `${url}/v2/enqueue`,
      PAGERDUTY_API_KEY: SECRETS.routingKey,
      ALERT_WEBHOOK_URL: `${url}/hook?key=${SECRETS.webhookKey}`,
    },
    of: (service) =>
      received.filter((one) => one.service === service).map(({ document }) => document),
    [Symbol.asyncDispose]: async () => {
      for (const resolve of silent) resolve();
      await server.shutdown();
    },
  };
}
