#!/bin/bash
# SPDX-License-Identifier: Apache-2.0

# The main job of reconcile on real containers, in about a minute: a directory
# of agents goes in, exactly that runs, a second pass has nothing to do.
#
# Uses this host's Podman where it can run a container, else a private one in
# namespaces of its own. Everything it makes is gone at the end.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$here/../../bin" && pwd)
reconcile=$bin/reconcile

# Unset, so that the demo shows what a new user sees.
for v in $(compgen -e | grep '^RECONCILE_' | grep -v '^RECONCILE_DEMO_' || true); do unset "$v"; done

bold() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# run shows a command as a user would type it, runs it, and checks its exit
# code: run WANT ARGS…
run() {
	local want=$1 got=0 line=reconcile a
	shift
	for a; do
		case $a in
		*[!A-Za-z0-9./_-]*) line+=" '$a'" ;;
		*) line+=" $a" ;;
		esac
	done
	printf '\n\033[36m$ %s\033[0m\n' "$line"
	"$reconcile" "$@" || got=$?
	if [ "$got" != "$want" ]; then
		echo "demo: exit code $got, want $want" >&2
		exit 1
	fi
}

images=(localhost/quickstart/shell:1 localhost/quickstart/empty:1)

build_images() {
	local context ok=0
	context=$(mktemp -d)
	cp "$(command -v busybox)" "$context/busybox"
	for name in shell empty; do
		podman build -q --layers=false -t "localhost/quickstart/$name:1" -f "$here/images/$name.Containerfile" "$context" >/dev/null || ok=1
	done
	rm -rf "$context"
	return $ok
}

# usable reports whether this host's Podman runs a container. If it does not,
# what was built to find out is removed.
usable() {
	build_images 2>/dev/null && podman run --rm "${images[0]}" true 2>/dev/null && return
	podman rmi "${images[@]}" >/dev/null 2>&1 || true
	return 1
}

# private re-executes the demo in mount, network and process namespaces of its
# own, where it starts a Podman service with storage in memory.
private() {
	RECONCILE_DEMO_DIR=$(mktemp -d)
	export RECONCILE_DEMO_DIR
	local code=0
	unshare -m -n -p -f --mount-proc --kill-child=KILL -- catatonit -- "$0" || code=$?
	rm -rf "$RECONCILE_DEMO_DIR"
	find /sys/fs/cgroup -depth -path '*/libpod_parent/*' -type d -exec rmdir {} \; 2>/dev/null || true
	exit "$code"
}

start_private_podman() {
	local d=$RECONCILE_DEMO_DIR runtime=crun
	if [ -d /sys/fs/cgroup/unified ]; then
		umount /sys/fs/cgroup/unified 2>/dev/null || runtime=runc
	fi
	mount -t tmpfs tmpfs /run
	mount -t tmpfs tmpfs /dev/shm
	mount -t tmpfs tmpfs "$d"
	ip link set lo up
	mkdir -p "$d/net"
	cat >"$d/containers.conf" <<-CONF
		[containers]
		default_ulimits = ["nofile=1024:1024", "nproc=8192:8192"]
		log_driver = "k8s-file"
		init_path = "/usr/bin/catatonit"
		[engine]
		runtime = "$runtime"
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		lock_type = "file"
		helper_binaries_dir = ["/usr/lib/podman", "/usr/libexec/podman", "/usr/bin"]
		[network]
		network_backend = "netavark"
		network_config_dir = "$d/net"
	CONF
	printf '[storage]\ndriver="overlay"\ngraphroot="%s/root"\nrunroot="%s/run"\n' "$d" "$d" >"$d/storage.conf"
	echo 'unqualified-search-registries = []' >"$d/registries.conf"
	export CONTAINERS_CONF=$d/containers.conf CONTAINERS_STORAGE_CONF=$d/storage.conf CONTAINERS_REGISTRIES_CONF=$d/registries.conf
	export TMPDIR=$d
	mkdir -p /run/podman
	podman system service --time=0 unix:///run/podman/podman.sock >"$d/service.log" 2>&1 &
	for _ in $(seq 100); do
		[ -S /run/podman/podman.sock ] && break
		sleep 0.1
	done
	build_images
}

if [ -n "${RECONCILE_DEMO_DIR:-}" ]; then
	start_private_podman
elif ! usable; then
	if [ "$(id -u)" != 0 ]; then
		echo "demo: this user's Podman cannot run a container, and a private one needs root" >&2
		exit 1
	fi
	echo "demo: no usable Podman here; starting a private one"
	private
fi

work=$(mktemp -d)
cp -r "$here" "$work/quickstart"
cd "$work/quickstart"
export RECONCILE_STATE_DIR=$work/state
cleanup() {
	code=$?
	"$reconcile" destroy --yes --volumes >/dev/null 2>&1 || true
	if [ -z "${RECONCILE_DEMO_DIR:-}" ]; then
		podman rmi "${images[@]}" >/dev/null 2>&1 || true
	fi
	cd /
	rm -rf "$work"
	exit "$code"
}
trap cleanup EXIT

bold "1. A directory of agents: what would happen, and why?"
run 2 --dry-run

bold "2. Make it so."
run 0

bold "3. What runs now, and who brought it along?"
run 0 status
run 0 graph
run 0 why explorer

bold "4. An agent in an image with nothing in it answers on its port."
printf '\033[36m$ wget -qO- http://127.0.0.1:17000/mcp/status\033[0m\n'
for _ in $(seq 50); do
	busybox wget -qO- http://127.0.0.1:17000/mcp/status 2>/dev/null && break
	sleep 0.1
done

bold "5. A request: a container is made for it, and what that writes is the answer."
run 0 invoke word-count -d '{"text":"hello world from clrk"}'

bold "6. One file changes: the plan that follows is as small as the change."
printf '\033[36m$ sed -i s/DEPTH=2/DEPTH=3/ agents/explorer/manifest.json\033[0m\n'
sed -i s/DEPTH=2/DEPTH=3/ agents/explorer/manifest.json
run 2 --dry-run
run 0

bold "7. And now there is nothing to do."
run 0 --dry-run
run 0 logs explorer2
