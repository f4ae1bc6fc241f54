-- The mission's sample: what does it cost now?
-- aggregate: no
select *
from p2p.best_prices b
where b.pair = :'fiat' || '/' || :'asset'
