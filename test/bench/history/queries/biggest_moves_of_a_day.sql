-- A newspaper: which markets moved most on a day?
-- aggregate: yes
select d.fiat_code, d.crypto_symbol, d.trade_type, round(100 * (d.median_close / d.median_open - 1), 2) as percent
from p2p.market_daily d
where d.time_bucket = :'day'::timestamptz
order by abs(d.median_close / d.median_open - 1) desc nulls last
limit 10
