-- What a person may ask about, by the number of the question: a market (large ones are asked for more often), somebody
-- who advertises there, an ad, a moment and a day of the past. The same number is the same question.
create function history.pick(p_number integer)
returns table (
  fiat text, asset text, side text, moment timestamptz, day timestamptz, since timestamptz, newest timestamptz,
  advertiser text, nickname text, offer text
)
language sql
stable
set search_path = history, p2p, pg_temp
as $function$
  with chosen as (
    select
      w.*,
      (history.even(w.seed, 900 + p_number) * (w.steps - 3))::integer as step,
      s.slot_id,
      s.market_id,
      s.fiat_id,
      s.number,
      s.first_offer_id
        + ((history.even(w.seed, 900 + p_number) * (w.steps - 3))::integer + s.phase) / s.cycle as offer_id
    from history.world w
    join history.slots s
      on s.slot_id = floor(history.even(w.seed, 800 + p_number) * (select count(*) from history.slots))::integer
  )
  select
    f.currency_code,
    c.symbol,
    m.trade_type,
    x.starts_at + make_interval(mins => x.step * x.minutes),
    date_trunc('day', x.starts_at + make_interval(mins => x.step * x.minutes), 'UTC'),
    x.starts_at,
    x.starts_at + make_interval(mins => (x.steps - 1) * x.minutes),
    a.advertiser_id,
    a.nickname,
    o.offer_external_id
  from chosen x
  join p2p.dim_markets m using (market_id)
  join p2p.dim_fiat_currencies f on f.fiat_id = m.fiat_id
  join p2p.dim_cryptocurrencies c using (crypto_id)
  join history.advertisers h on h.fiat_id = x.fiat_id and h.number = x.number
  join p2p.dim_advertisers first_name using (advertiser_sk)
  join p2p.dim_advertisers a on a.exchange_id = 1 and a.advertiser_id = first_name.advertiser_id and a.is_current
  join p2p.dim_offers o on o.offer_id = x.offer_id
$function$;
