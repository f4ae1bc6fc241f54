# Boots a machine of this one's /usr with nothing else in it, by systemd as PID 1, runs deploy/smoke.sh there, and ends
# with its exit code. Run by `unshare --mount`; $1 is a folder with the program, and out is written there.
set -e
root="$1/root"
mkdir -p "$root"
mount -t tmpfs -o mode=755 boot "$root"
cd "$root"
mkdir -p usr etc/systemd/system var run proc sys dev tmp root opt/smoke
for name in bin sbin lib lib64; do [ ! -e "/usr/$name" ] || ln -s "usr/$name" "$name"; done
mount --bind /usr usr
mount -o remount,bind,ro usr
mount -t tmpfs -o mode=755 boot usr/local
mkdir usr/local/bin
mount --bind "$1" opt/smoke
mkdir -p srv && touch srv/deno && mount --bind "$2" srv/deno
echo 'root:x:0:0:root:/root:/bin/sh' > etc/passwd
echo 'root:x:0:' > etc/group
echo 'passwd: files systemd' > etc/nsswitch.conf
tr -d - < /proc/sys/kernel/random/uuid > etc/machine-id
cat > etc/systemd/system/smoke.service <<END
[Unit]
SuccessAction=exit
FailureAction=exit
FailureActionExitStatus=1
[Service]
Type=oneshot
EnvironmentFile=/opt/smoke/smoke.environment
ExecStart=/bin/sh /opt/smoke/smoke.sh /opt/smoke/p2p-ingest
StandardOutput=append:/opt/smoke/out
StandardError=append:/opt/smoke/out
END
# Where a machine still has the hierarchy of cgroup v1, too, nspawn stumbles over it.
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 exec systemd-nspawn -q -D "$root" --register=no --keep-unit -b systemd.unit=smoke.service
