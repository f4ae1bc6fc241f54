# The surroundings that systemd makes for deploy/p2p-ingest.service, as far as that goes without systemd as PID 1:
# the file system can only be read, /run and /tmp are its own, homes and most of /proc are hidden, no capability, and a
# user of no name. Run by `unshare --mount`; $1 is a folder with the credential, program, settings, notify socket and deno.
set -e
mount -t tmpfs -o mode=755 sandbox /run
mkdir -p /run/systemd /run/p2p-ingest /run/credentials /run/program
mount --bind "$1" /run/program
touch /run/systemd/notify /run/deno
mount --bind "$1/systemd" /run/systemd/notify
mount --bind "$2" /run/deno
mkdir -m 700 /run/credentials/p2p-ingest.service
test ! -e "$1/database_url" || install -m 400 -o 61184 -g 61184 "$1/database_url" /run/credentials/p2p-ingest.service/
chmod 700 /run/p2p-ingest
chown 61184:61184 /run/p2p-ingest /run/credentials/p2p-ingest.service
mount -t tmpfs -o mode=1777 sandbox /tmp
mount -t tmpfs -o mode=000 sandbox /root
mount -t tmpfs -o mode=000 sandbox /home
mount -t proc -o subset=pid,hidepid=invisible proc /proc
mount -o remount,bind,ro /
shift 2
cd /
exec setpriv --reuid 61184 --regid 61184 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all --ambient-caps=-all \
  env -i WATCHDOG_PID=$$ "$@"
