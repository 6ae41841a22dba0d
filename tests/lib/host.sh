# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The test host: a booted systemd container with this build of Inferno installed. Sourced.
#
# Each run has a folder CACHE/run/host.XXXXXX: the cached tree below, its own changes in upper/ above, by an overlay that is
# mounted in a mount namespace of its own, so that nothing is left however the run ends: the container ends when ./dev does.

HOST_BOOT_SECONDS=60

# host_run [--asan] [--seconds N] [--artefacts DIR] [--packages FILE] [COMMAND…]: boots a host, with some packages more, runs COMMAND (or a
# shell) in it as root, passes on its exit code. The journal and the consoles go to DIR when it fails.
host_run() {
    local build=build seconds=infinity artefacts='' packages='' run root kernel images r=0
    while :; do
        case ${1-} in
            --asan) build=build-asan; shift ;;
            --seconds) seconds=$2; shift 2 ;;
            --artefacts) artefacts=$2; shift 2 ;;
            --packages) packages=$2; shift 2 ;;
            --) shift; break ;;
            -*) die 2 "host: unknown option '$1'" ;;
            *) break ;;
        esac
    done
    root=$(host_tree "$packages")
    kernel=$(kernel_get)
    images=$(images_get)
    host_prepare
    host_boot
    host_command "$@" || r=$?
    host_stop
    if [ $r -ne 0 ] && [ $# -gt 0 ]; then
        host_keep "${artefacts:-$CACHE/artefacts/${run##*/}}"
    fi
    host_remove
    return $r
}

host_tree() { # [PACKAGES-FILE]: has these packages, too
    local more=${1:-/dev/null}
    cache_get host "$(cache_key -- "$SOURCE/tests/host/packages" "$SOURCE/tests/host/make-root" "$SOURCE/tests/lib/make-tree" "$more")" \
        host_make_tree "$more"
}

host_make_tree() { # PACKAGES-FILE FOLDER
    local options
    mapfile -t options < <(sed '/^#/d; /^--/!s/^/--include=/' "$1")
    step "making the test host's tree" "$SOURCE/tests/host/make-root" "$CACHE/debs" "$2" "$SOURCE/tests/host/packages" "${options[@]}"
}

# Makes the run's folder and installs the build into its upper layer.
host_prepare() {
    run_new host
    trap 'host_stop; host_remove' EXIT
    mkdir "$run/upper" "$run/work" "$run/root" "$run/state"
    DESTDIR="$run/upper" meson install -C "$SOURCE/$build" --no-rebuild --quiet >/dev/null
    install -Dm 0644 "$kernel" "$run/upper/usr/lib/inferno/vmlinux"
    install -D -t "$run/upper/usr/lib/inferno-test-tools" "$SOURCE/$build"/tests/{compare-image,hostile-tar}
    [ "$build" != build ] || install -D -t "$run/upper/usr/lib/inferno-benchmarks" "$SOURCE/benchmarks/run" "$SOURCE"/build/benchmarks/{measure,bare-init,ready-vmm}
}

# Starts the container, waits until its systemd has finished booting. Sets host_pid (nspawn), host_leader (PID 1 of the container).
host_boot() {
    local deadline=$((SECONDS + HOST_BOOT_SECONDS)) state name path binds=()
    while read -r name path; do
        binds+=("--bind-ro=$path:/images/$name")
    done <<<"$images"
    unshare --mount --propagation private setpriv --pdeathsig TERM bash -c '
        mount -t overlay inferno-host -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root" || exit 1
        machine=$3
        shift 3
        # A control group of its own: the systemds of two hosts must not clean up after each other.
        for group in /sys/fs/cgroup{,/systemd,/unified}; do
            [ ! -w "$group/cgroup.procs" ] || { mkdir -p "$group/$machine" && echo $$ >"$group/$machine/cgroup.procs"; } || true
        done
        exec systemd-nspawn --quiet --settings=no --register=no --keep-unit --boot --private-network --capability=all \
            --link-journal=no --resolv-conf=off --timezone=off --console=pipe --machine="$machine" "$@"' \
        inferno-host "$root" "$run" "inferno-${run##*.}" \
        --directory="$run/root" --bind=/dev/net/tun --bind="$run/state:/var/lib/inferno" \
        --bind-ro="$SOURCE/tests:/usr/lib/inferno-tests" "${binds[@]}" \
        >"$run/console.log" 2>&1 </dev/null &
    host_pid=$!

    until host_leader=$(pgrep -P "$host_pid") && [ -S "/proc/$host_leader/root/run/systemd/private" ]; do
        kill -0 "$host_pid" 2>/dev/null && [ $SECONDS -lt $deadline ] || { cat "$run/console.log" >&2; die 1 "the test host does not boot"; }
        sleep 0.1
    done
    state=$(host_enter timeout $HOST_BOOT_SECONDS systemctl is-system-running --wait || true)
    [ "$state" = running ] || say "the test host is '$state'"
    [ "$state" != degraded ] || host_enter systemctl --failed --no-legend --plain >&2
}

host_enter() { # COMMAND…
    nsenter --target "$host_leader" --mount --uts --ipc --net --pid --cgroup --root --wd -- \
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" "$@"
}

# COMMAND runs as a unit of the container, in a cgroup there, so that nothing of the caller's session leaks into it.
host_command() { # [COMMAND…]
    local io=--pipe
    if [ $# -eq 0 ]; then
        io=--pty
        set -- /bin/bash -l
    fi
    host_enter systemd-run --quiet --wait --collect $io --service-type=exec --property=RuntimeMaxSec="$seconds" \
        --setenv=TERM --setenv=HOME --setenv=LANG --setenv=PATH --unit=dev-command -- "$@"
}

# An orderly end first: it is part of what is tested. Safe to call twice.
host_stop() {
    [ -n "${host_pid-}" ] || return 0
    host_leader=${host_leader:-$host_pid}
    kill -TERM "$host_pid" 2>/dev/null || true
    timeout 60 tail --pid="$host_pid" -f /dev/null || kill -KILL "$host_leader" "$host_pid" 2>/dev/null || true
    wait "$host_pid" 2>/dev/null || true
    host_pid=
}

host_keep() { # FOLDER
    mkdir -p "$1"
    journalctl --directory="$run/upper/var/log/journal" --no-pager -o short-precise >"$1/journal.txt" 2>/dev/null || true
    cp "$run/console.log" "$1/" || true
    say "kept: $1"
}

host_remove() {
    [ -z "${run-}" ] || find /sys/fs/cgroup{,/systemd,/unified}/"inferno-${run##*.}" -depth -type d -exec rmdir {} + 2>/dev/null || true
    [ -z "${run-}" ] || run_remove
}
