#!/bin/sh
# Installs the executable $1 as docs/deploy.md says, and lets systemd run it against a simulated exchange: a batch must be
# loaded, a crash be followed by a new start, and the end be in order. DATABASE_URL: an empty database, as its owner.
# For a machine that is thrown away afterwards. Needs root, and systemd as PID 1.
set -eu
cd "$(dirname "$0")"
simulator_port=${SIMULATOR_PORT:-18181}
export PROMETHEUS_PORT="${PROMETHEUS_PORT:-18182}"

install -m 755 "$1" /usr/local/bin/p2p-ingest
install -m 644 p2p-ingest.service /etc/systemd/system/
install -d -m 700 /etc/p2p-ingest
(umask 077 && printf '%s\n' "$DATABASE_URL" > /etc/p2p-ingest/database_url)
p2p-ingest migrate

p2p-ingest simulate --port "$simulator_port" --offers 1000 &
simulator=$!
trap 'kill $simulator; journalctl --no-pager -u p2p-ingest | tail -n 40' EXIT
cat > /etc/p2p-ingest/environment <<END
BINANCE_BASE_URL=http://127.0.0.1:$simulator_port
PROMETHEUS_PORT=$PROMETHEUS_PORT
INITIAL_RATE_LIMIT=1000000
MAX_RATE_LIMIT=1000000
RATE_LIMIT_BURST=1000
EXTRACTION_INTERVAL_MINUTES=1
END
# A crash is waited for here.
install -d /run/systemd/system/p2p-ingest.service.d
printf '[Service]\nRestartSec=1\n' > /run/systemd/system/p2p-ingest.service.d/smoke.conf
systemctl daemon-reload

# Tries a command for at most two minutes.
until_true() {
  for _ in $(seq 240); do
    if sh -c "$1" > /dev/null 2>&1; then return; fi
    sleep 0.5
  done
  echo "never true: $1" >&2
  exit 1
}

systemctl enable --now p2p-ingest
until_true 'systemctl show -P StatusText p2p-ingest | grep " completed · "'
systemctl status --no-pager -n 0 p2p-ingest
p2p-ingest health
test "$(systemctl show -P WatchdogTimestampMonotonic p2p-ingest)" -gt 0
systemd-analyze security --threshold=20 p2p-ingest.service | tail -n 1

kill -9 "$(systemctl show -P MainPID p2p-ingest)"
until_true 'systemctl show -P NRestarts p2p-ingest | grep -x 1 && systemctl is-active p2p-ingest'

systemctl disable --now p2p-ingest
test "$(systemctl show -P Result p2p-ingest)" = success
echo "smoke test passed"
