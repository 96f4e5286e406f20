# Boots a Debian: sh boot.sh DIRECTORY TREE NAME, in mount, network and pid namespaces of its own, so that nothing of it
# is left when this shell is killed. The guest writes to a layer in memory, which lasts as long as this shell: a reboot of
# the guest keeps it. It has the network of this shell: a loopback interface, and nothing else.
set -eu
directory=$1 tree=$2 name=$3

mount -t tmpfs -o mode=0755 tmpfs "$directory"
mkdir "$directory/upper" "$directory/work" "$directory/root" "$directory/cgroup"
mount -t overlay -o "lowerdir=$tree,upperdir=$directory/upper,workdir=$directory/work" overlay "$directory/root"
# What nspawn leaves behind here is left to nobody.
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
ip link set lo up

# Guests must not share control groups: each systemd would tidy those of the others. Empty ones of guests that were
# killed are removed by the next.
mount -t cgroup2 cgroup2 "$directory/cgroup"
sweep() { find "$@" -depth -type d -exec rmdir {} + 2>/dev/null || true; }
for left in "$directory"/cgroup/agent-test-*/payload; do sweep "${left%/payload}"; done
own=$directory/cgroup/agent-test-$name
mkdir "$own"
echo 0 >"$own/cgroup.procs"

code=133
# 133: the guest rebooted.
while [ "$code" -eq 133 ]; do
  code=0
  SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --boot --register=no --keep-unit --console=pipe \
    --timezone=off --resolv-conf=off --hostname=debian --machine="agent-test-$name" --directory="$directory/root" ||
    code=$?
done
echo 0 >"$directory/cgroup/cgroup.procs"
sweep "$own"
exit "$code"
