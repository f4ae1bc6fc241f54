import type { Fiat } from "./fiats.ts";
import { hash, pick, SALT, unit } from "./random.ts";

/** A way to pay, as `filter-conditions` lists it. */
export interface PaymentMethod {
  readonly identifier: string;
  readonly name: string;
  readonly shortName: string | null;
  readonly color: string;
}

const FIRST = [
  "First",
  "Unión",
  "Nova",
  "Costa",
  "Delta",
  "Orient",
  "Prima",
  "Sol",
  "Terra",
  "Banco del",
];
const SECOND = ["Bank", "Pay", "Money", "Wallet", "Credit", "Cash", "Savings", "Mobile"];

function color(number: number): string {
  return `#${(number & 0xffffff).toString(16).toUpperCase().padStart(6, "0")}`;
}

/** The catalogue of a fiat: 6 to 21 methods, bank transfer among them. */
export function catalogue(seed: number, fiat: Fiat): readonly PaymentMethod[] {
  const methods: PaymentMethod[] = [
    { identifier: "BANK", name: "Bank Transfer", shortName: "Bank Transfer", color: "#F0B90B" },
    { identifier: "Wise", name: "Wise", shortName: null, color: "#9FE870" },
    {
      identifier: "CashDeposit",
      name: "Cash Deposit to Bank",
      shortName: "Cash Deposit",
      color: "#0ECB81",
    },
  ];
  const wanted = 6 + hash(seed, SALT.catalogue, fiat.index) % 16;
  for (let i = 0; methods.length < wanted; i++) {
    const name = `${pick(FIRST, unit(seed, SALT.catalogue, fiat.index, i, 1))} ${
      pick(SECOND, unit(seed, SALT.catalogue, fiat.index, i, 2))
    } ${fiat.country}`;
    const identifier = name.replace(/[^A-Za-z]/g, "");
    if (methods.some((method) => method.identifier === identifier)) continue;
    const number = hash(seed, SALT.catalogue, fiat.index, i, 3);
    methods.push({
      identifier,
      name,
      shortName: number % 2 === 0 ? name : null,
      color: color(number),
    });
  }
  return methods;
}

/** One method as an offer carries it, in JSON; `bare` leaves out its names, as the exchange now and then does. */
export function methodJson(method: PaymentMethod, bare = false): string {
  const id = JSON.stringify(method.identifier);
  const names = bare
    ? `"tradeMethodName":null,"tradeMethodShortName":null,"tradeMethodBgColor":null`
    : `"tradeMethodName":${JSON.stringify(method.name)},"tradeMethodShortName":${
      JSON.stringify(method.shortName)
    },"tradeMethodBgColor":"${method.color}"`;
  return `{"payId":null,"payMethodId":"","payType":${id},"payAccount":null,"payBank":null,"paySubBank":null,` +
    `"identifier":${id},"iconUrlColor":null,${names}}`;
}
