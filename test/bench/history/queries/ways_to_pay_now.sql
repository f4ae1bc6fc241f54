-- A trader: what does each way to pay cost on a market now?
-- aggregate: no
select *
from p2p.prices_by_payment_method p
where p.market = :'fiat' || '/' || :'asset' || ' ' || :'side'
order by p.best_price
