-- The logins of compose.yaml: p2p_ingest for the worker, p2p_grafana for Grafana.
-- Expects: the schema (p2p-ingest migrate), a user who may create roles, and the variable `secrets`, a folder with the
-- files worker_password and reader_password.
-- A second call changes nothing but the passwords, to what the files hold then.
\set ON_ERROR_STOP on
\set worker_password `cat :'secrets'/worker_password`
\set reader_password `cat :'secrets'/reader_password`

select format('create role %I login in role %I', login, role)
from (values ('p2p_ingest', 'p2p_worker'), ('p2p_grafana', 'p2p_reader')) as wanted (login, role)
where not exists (select from pg_roles where rolname = login)
\gexec

alter role p2p_ingest password :'worker_password';
alter role p2p_grafana password :'reader_password';
-- A panel that asks for too much ends by itself.
alter role p2p_grafana set statement_timeout = '30s';
