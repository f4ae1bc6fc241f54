-- Every item of every page is a fact, a rejection or a repetition, whatever the pages hold.

select setseed(0.11);

do $$
declare
  v_round integer;
begin
  for v_round in 1 .. 8 loop
    perform test.load_batch(
      '2026-04-01'::timestamptz + v_round * interval '10 minutes',
      (
        select jsonb_object_agg(
          market.name,
          (
            select jsonb_agg(
              test.offer(
                p_number => (array['', (12 * random())::integer::text])[1 + least(1, (5 * random())::integer)],
                p_price => (array['0', 'x', '-1', '36.5', '36.50', '1e3'])[1 + floor(6 * random())::integer],
                p_amount => (array['0', '1', '-1', '77.00'])[1 + floor(4 * random())::integer],
                p_user => (array['', 's1', 's2', 's3'])[1 + floor(4 * random())::integer],
                p_adv => (array['{}', '{"asset": "DOGE"}', '{"minSingleTransAmount": "9000"}', '{"tradeMethods": null}'])[1 + floor(4 * random())::integer]::jsonb
              )
            )
            from generate_series(1, 25)
          )
        )
        from unnest(array['VES/USDT BUY', 'VES/USDT SELL', 'ARS/USDT BUY']) as market (name)
      )
    );
  end loop;
end
$$;

do $$
declare
  v_run p2p.ops_batch_runs;
begin
  for v_run in select * from p2p.ops_batch_runs loop
    assert v_run.total_offers_extracted = 75, format('%s items', v_run.total_offers_extracted);
    assert v_run.total_offers_inserted > 0 and v_run.total_offers_rejected > 0 and v_run.total_offers_duplicate > 0, 'some of each';
    assert v_run.total_offers_extracted = v_run.total_offers_inserted + v_run.total_offers_rejected + v_run.total_offers_duplicate,
      'the sum';
    assert v_run.total_offers_inserted = (select count(*) from p2p.fact_offers f where f.batch_id = v_run.batch_id), 'the facts';
    assert v_run.total_offers_rejected = (select count(*) from p2p.ops_rejected_offers o where o.batch_id = v_run.batch_id), 'the rejected';
    assert v_run.total_offers_inserted = (select sum(d.total_offers_count) from p2p.fact_market_depth d where d.batch_id = v_run.batch_id),
      'the depth';
  end loop;

  -- What was rejected is there as it came, and would be rejected again.
  assert not exists (
    select
    from p2p.ops_rejected_offers o
    join p2p.ops_batch_runs r using (batch_id)
    join p2p.stg_responses s
      on s.extraction_timestamp = r.batch_start_time
      and (s.market_id, s.page_number) = (o.market_id, o.page_number)
    where o.payload::text is distinct from (s.body -> 'data' -> o.item_number)::text
  ), 'payloads are the items of the pages';
end
$$;
