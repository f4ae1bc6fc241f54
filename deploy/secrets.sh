#!/bin/sh
# Makes the passwords of compose.yaml, in the folder `secrets` beside this file; those that are there stay.
set -eu
cd "$(dirname "$0")"
mkdir -p -m 700 secrets
cd secrets

# Of letters and digits, so that it needs no quoting in a URL.
secret() {
  [ -s "$1" ] || head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$1"
}

for name in owner worker reader; do secret "${name}_password"; done
secret grafana_password
rm -f owner_url worker_url
printf 'postgres://p2p:%s@database/p2p\n' "$(cat owner_password)" > owner_url
printf 'postgres://p2p_ingest:%s@database/p2p\n' "$(cat worker_password)" > worker_url
# The folder is for its owner only; in the containers other users read the files.
chmod 444 ./*
