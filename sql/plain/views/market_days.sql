-- What is over is stored; the day that is under way is made of the hours at each reading.
create or replace view p2p.market_days as
select
  exchange_id, fiat_id, crypto_id, trade_type, day, snapshots, snapshots_with_offers, best_open, best_high,
  best_low, best_close, median_open, median_high, median_low, median_close, min_price, max_price, price_volume_sum,
  volume_sum, volume_high, volume_low, spread_count, spread_sum, spread_open, spread_high, spread_low,
  spread_close, offers_sum, offers_max, median_count, median_sum, median_square_sum
from p2p.stored_market_days
union all
select
  exchange_id, fiat_id, crypto_id, trade_type, day, snapshots, snapshots_with_offers, best_open, best_high,
  best_low, best_close, median_open, median_high, median_low, median_close, min_price, max_price, price_volume_sum,
  volume_sum, volume_high, volume_low, spread_count, spread_sum, spread_open, spread_high, spread_low,
  spread_close, offers_sum, offers_max, median_count, median_sum, median_square_sum
from p2p.from_hours_market_days;

comment on view p2p.market_days is 'Each market by day (UTC) as sums and extremes, by ids: what market_daily is made of';
comment on column p2p.market_days.snapshots_with_offers is 'Those in which the book was not empty: the others have no prices';
comment on column p2p.market_days.best_open is 'Best price for the taker (lowest BUY, highest SELL) in the first snapshot that had offers';
comment on column p2p.market_days.price_volume_sum is 'Sum of weighted_avg_price × total_available_volume: divided by volume_sum it is the average price';
comment on column p2p.market_days.volume_sum is 'Available amount of all snapshots together: divide it by snapshots';
comment on column p2p.market_days.spread_count is 'Snapshots that had a spread; spread_sum and what follows are of spread_percentage';
comment on column p2p.market_days.median_square_sum is 'Sum of the squares of the median price: the deviation follows from it, median_sum and median_count';

grant select on p2p.market_days to p2p_reader, p2p_worker;
