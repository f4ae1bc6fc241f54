-- The mission's sample: how much did prices vary by way to pay, on one market over a day?
-- aggregate: no
select pm.method_name, count(*) as offers, avg(f.price) as average, stddev_samp(f.price) as volatility
from p2p.fact_offers f
join p2p.dim_fiat_currencies fiat using (fiat_id)
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_payment_sets s using (payment_set_id)
cross join unnest(s.payment_method_ids) as method (payment_method_id)
join p2p.dim_payment_methods pm using (payment_method_id)
where fiat.currency_code = :'fiat'
  and c.symbol = :'asset'
  and f.trade_type = :'side'
  and f.extraction_timestamp >= :'day'::timestamptz
  and f.extraction_timestamp < :'day'::timestamptz + interval '1 day'
group by pm.method_name
order by volatility desc nulls last
