import { nickname } from "./names.ts";
import { hash, SALT, unit } from "./random.ts";

/** Who an advertiser is, and how they have been doing, at one tick. */
export interface Advertiser {
  /** `s` and 32 hex digits */
  readonly userNo: string;
  readonly nickName: string;
  readonly merchant: boolean;
  readonly userIdentity: "" | "MASS_MERCHANT" | "BLOCK_MERCHANT";
  readonly pro: boolean;
  readonly vipLevel: number | null;
  readonly monthOrderCount: number;
  /** Fractions 0..1 as the exchange writes them, `1.0` included. */
  readonly monthFinishRate: string;
  readonly positiveRate: string;
  readonly activeTimeInSecond: number;
}

function hex(seed: number, key: number, part: number): string {
  return hash(seed, SALT.user, key, part).toString(16).padStart(8, "0");
}

function fraction(value: number, digits: number): string {
  if (value >= 1) return "1.0";
  return value.toFixed(digits).replace(/0+$/, "").replace(/\.$/, ".0");
}

/** How often something about an advertiser has changed so far; most never change. */
function changes(seed: number, salt: number, key: number, share: number, tick: number): number {
  if (unit(seed, salt, key, 1) >= share) return 0;
  const period = 30 + hash(seed, salt, key, 2) % 900;
  return Math.floor((tick + hash(seed, salt, key, 3) % period) / period);
}

/**
 * An advertiser of a fiat. The same at every call within a tick; over time 4 % of them change their
 * name (half of those go back to the old one), 3 % become merchants or stop being it, 2 % change VIP level.
 * @param share where the advertiser stands among those of the fiat, 0 the most active, 1 the least
 */
export function advertiserAt(
  seed: number,
  fiat: number,
  index: number,
  share: number,
  tick: number,
): Advertiser {
  const key = fiat * 131_072 + index;
  const renames = changes(seed, SALT.rename, key, 0.04, tick);
  const goesBack = hash(seed, SALT.rename, key, 4) % 2 === 0;
  const promotions = changes(seed, SALT.tier, key, 0.03, tick);
  const bornMerchant = unit(seed, SALT.tier, key, 5) < 0.8 - 0.9 * share;
  const merchant = promotions % 2 === 0 ? bornMerchant : !bornMerchant;
  const identity = unit(seed, SALT.tier, key, 6);
  const level = hash(seed, SALT.tier, key, 7) + changes(seed, SALT.tier, key + 7_919, 0.02, tick);
  const rate = unit(seed, SALT.activity, key, 1);
  const active = unit(seed, SALT.activity, key, 2, tick);
  return {
    userNo: `s${hex(seed, key, 1)}${hex(seed, key, 2)}${hex(seed, key, 3)}${hex(seed, key, 4)}`,
    nickName: nickname(seed, fiat, index, goesBack ? renames % 2 : renames),
    merchant,
    userIdentity: merchant ? (identity < 0.05 ? "BLOCK_MERCHANT" : "MASS_MERCHANT") : "",
    pro: merchant && identity > 0.98,
    vipLevel: merchant ? 1 + level % 3 : null,
    monthOrderCount: Math.floor((merchant ? 3_000 : 120) * (1 - share) * rate) + 1 +
      Math.floor(tick * (merchant ? 0.03 : 0.005) + rate * 50) % 50,
    monthFinishRate: fraction(rate > 0.84 ? 1 : 1 - 0.12 * rate * rate, 3),
    positiveRate: fraction(rate < 0.36 ? 1 : 1 - 0.05 * (rate - 0.36), 8),
    activeTimeInSecond: Math.floor(3_600 * active * active * active),
  };
}
