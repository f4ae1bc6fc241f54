import type { Discovery, PaymentMethod } from "../exchange/exchange.ts";
import type { Metrics } from "../serve/metrics.ts";
import type { KnownFiat } from "./batch_types.ts";
import type { PatientDatabase } from "./patient_database.ts";

/** What the database knows of an exchange's markets and payment methods; each method is one call of one SQL function. */
export class MarketListStore {
  constructor(
    readonly database: PatientDatabase,
    readonly workerId: string,
    readonly metrics: Metrics,
  ) {}

  /**
   * Whether this worker is the one to ask for the markets of the exchange: one of the fleet is enough. Its next beat
   * that says something else gives the task up.
   */
  async beginDiscovery(exchange: string): Promise<boolean> {
    const [row] = await this.database.call("select p2p.begin_discovery($1, $2) as ours", [
      this.workerId,
      exchange,
    ]);
    return row?.["ours"] === true;
  }

  /** The fiats seen so far, and whether their list is as fresh as the setting `discovery_every_hours` asks. */
  async knownFiats(exchange: string): Promise<KnownFiat[]> {
    const rows = await this.database.call("select * from p2p.known_fiats($1)", [exchange]);
    return rows.map((row) => ({
      fiat: String(row["fiat_code"]),
      isFresh: row["is_fresh"] === true,
      markets: Number(row["active_markets"]),
    }));
  }

  /** @returns how many markets are active now */
  async storeMarketList(exchange: string, discovery: Discovery): Promise<number> {
    const { fiats, markets, covered, missed } = discovery;
    const [row] = await this.database.call(
      "select p2p.store_market_list($1, $2::text::jsonb, $3::text::jsonb, " +
        "array(select jsonb_array_elements_text($4::text::jsonb)), " +
        "array(select jsonb_array_elements_text($5::text::jsonb))) as active",
      [exchange, ...[fiats, markets, covered, missed].map((list) => JSON.stringify(list))],
    );
    return Number(row?.["active"]);
  }

  async storePaymentMethods(exchange: string, methods: readonly PaymentMethod[]): Promise<void> {
    await this.database.call("select p2p.store_payment_methods($1, $2::text::jsonb)", [
      exchange,
      JSON.stringify(methods),
    ]);
  }

  async recordDiscoveryProblem(
    exchange: string,
    fiat: string | undefined,
    error: Error,
  ): Promise<void> {
    const kind = "kind" in error ? String(error.kind) : error.name;
    this.metrics.extractionFailed(kind, { fiat: fiat ?? "", asset: "" }, exchange);
    await this.database.call("select p2p.record_discovery_problem($1, $2, $3, $4)", [
      fiat ?? null,
      kind,
      error.message,
      exchange,
    ]);
  }
}
