-- Two batches, made with the functions of release 0.5.0: an advertiser who changes name, an ad that is rejected,
-- a page that is lost.
create function pg_temp.ad(p_number text, p_price text, p_user text, p_nick text) returns jsonb language sql as $$
  select jsonb_build_object(
    'adv', jsonb_build_object(
      'advNo', p_number, 'asset', 'USDT', 'fiatUnit', 'VES', 'tradeType', 'SELL', 'price', p_price,
      'surplusAmount', '120.50', 'tradableQuantity', '118.00', 'minSingleTransAmount', '10', 'maxSingleTransAmount', '4000',
      'isTradable', true, 'tradeMethods', '[{"identifier": "Zelle", "tradeMethodName": "Zelle"}]'::jsonb
    ),
    'advertiser', jsonb_build_object(
      'userNo', p_user, 'nickName', p_nick, 'userType', 'user', 'userGrade', 2, 'userIdentity', '', 'monthFinishRate', 0.988
    )
  )
$$;

do $$
declare
  v_batch record;
  v_market record;
  v_nick text;
  v_body text;
begin
  perform p2p.store_market_list(
    'binance',
    '[{"code": "VES", "country": "VE"}]',
    '[{"fiat": "VES", "asset": "USDT", "assetName": "Tether", "side": "BUY"}, {"fiat": "VES", "asset": "USDT", "assetName": "Tether", "side": "SELL"}]',
    '{VES}',
    '{}'
  );

  foreach v_nick in array array['before', 'after'] loop
    perform p2p.beat(
      'worker of 0.5.0', 'worker', '0.5.0', 'once', 'fetching', 60,
      '[{"exchange": "binance", "filter": [{"fiat": "*", "asset": "*"}], "rate_per_minute": 100, "breaker": "closed",
         "paused_seconds": 0, "requests": 0, "refused": 0, "retries": 0}]'
    );
    select * into v_batch from p2p.join_batch('worker of 0.5.0', null, null, 60);

    for v_market in select * from p2p.claim_markets(v_batch.batch_id, 'worker of 0.5.0', 'binance', 10) loop
      if v_market.side = 'SELL' then
        perform p2p.record_lost_page(v_batch.batch_id, 'worker of 0.5.0', v_market.market_id, 1, true, 'http', 'HTTP 500', 3);
        continue;
      end if;

      v_body := jsonb_build_object(
        'code', '000000',
        'success', true,
        'total', 3,
        'data', jsonb_build_array(
          pg_temp.ad('1', '461.50', 's1', v_nick), pg_temp.ad('2', '470', 's2', 'same'), pg_temp.ad('3', '0', 's2', 'same')
        )
      )::text;
      perform p2p.store_page(
        v_batch.batch_id, 'worker of 0.5.0', v_market.market_id, 1, true, 3, 'binance_search_v1', clock_timestamp(), 1, 200, 250,
        length(v_body), sha256(convert_to(v_body, 'UTF8')), null, null, v_body
      );
    end loop;

    perform p2p.load_batch(v_batch.batch_id);
  end loop;
end
$$;
