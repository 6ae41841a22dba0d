# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the cases on the test host share. Sourced as the first thing by each tests/host/TEST-*/run.
set -euo pipefail

NEWLINE=$'\n'
START_SECONDS=90        # two emulated guests may boot on a busy machine of one core

fail() {
    printf 'FAILED %s:%s: %s\n' "${BASH_SOURCE[1]##*tests/}" "${BASH_LINENO[0]}" "$*" >&2
    exit 1
}

title() {
    printf -- '-- %s\n' "$*"
}

check_eq() { # ACTUAL EXPECTED [WHAT]
    [ "$1" = "$2" ] || { printf 'FAILED %s:%s: %s is «%s», not «%s»\n' "${BASH_SOURCE[1]##*tests/}" "${BASH_LINENO[0]}" "${3:-it}" "$1" "$2" >&2; exit 1; }
}

check_has() { # TEXT PATTERN: an extended regular expression
    grep -Eq -- "$2" <<<"$1" || { printf 'FAILED %s:%s: no «%s» in:\n%s\n' "${BASH_SOURCE[1]##*tests/}" "${BASH_LINENO[0]}" "$2" "$1" >&2; exit 1; }
}

check_has_not() { # TEXT PATTERN
    ! grep -Eq -- "$2" <<<"$1" || { printf 'FAILED %s:%s: «%s» in:\n%s\n' "${BASH_SOURCE[1]##*tests/}" "${BASH_LINENO[0]}" "$2" "$1" >&2; exit 1; }
}

# Tries a command until it succeeds, or fails after so many seconds.
wait_for() { # SECONDS COMMAND [ARGUMENT…]
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $deadline ]; then
            printf 'FAILED %s:%s: in vain: %s\n' "${BASH_SOURCE[1]##*tests/}" "${BASH_LINENO[0]}" "$*" >&2
            exit 1
        fi
        sleep 0.2
    done
}

# Writes a definition from standard input; a first line of [VM] stands before it.
define() { # NAME
    mkdir -p /etc/inferno/vms
    { echo '[VM]'; cat; } >"/etc/inferno/vms/$1.vm"
    systemctl daemon-reload
}

undefine() { # NAME…
    local name
    for name; do
        rm -rf "/etc/inferno/vms/$name.vm" "/etc/inferno/vms/$name.vm.d"
    done
    systemctl daemon-reload
    /usr/libexec/inferno/inferno-cleanup gone
}

busybox=oci:/images/busybox:latest

# True on a host with the sanitized build, whose memory is no measure.
sanitized() {
    grep -q __asan_init /usr/libexec/inferno/kiln
}

show() { # NAME PROPERTY
    systemctl show --value --property="$2" "inferno@$1"
}

# The messages of a unit since its last start, of one stream (stdout, stderr, console, vmm), or of all with their texts.
journal() { # NAME [STREAM]
    local invocation
    journalctl --sync
    # systemd forgets a unit that has ended well, its journal does not.
    invocation=$(journalctl -q -o json -n 1 "_SYSTEMD_UNIT=inferno@$1.service" | jq -r ._SYSTEMD_INVOCATION_ID)
    if [ $# -gt 1 ]; then
        journalctl -q -o cat "_SYSTEMD_INVOCATION_ID=$invocation" "INFERNO_STREAM=$2"
    else
        journalctl -q -o cat "_SYSTEMD_INVOCATION_ID=$invocation" + "INVOCATION_ID=$invocation"
    fi
}

in_state() { # NAME ACTIVE-STATE
    [ "$(show "$1" ActiveState)" = "$2" ]
}

start() { # NAME
    timeout $START_SECONDS systemctl start "inferno@$1" || { systemctl status --no-pager -n 60 "inferno@$1" >&2; fail "inferno@$1 does not start"; }
}

# Starts a VM and waits until its workload has ended by itself, whatever the result.
run_to_end() { # NAME
    timeout $START_SECONDS systemctl start "inferno@$1" || true
    wait_for $START_SECONDS ended "$1"
}

ended() {
    in_state "$1" inactive || in_state "$1" failed
}

guest_address() { # NAME: the guest's side of its /30
    /usr/libexec/inferno/inferno-tap show "$1" | sed -n 's/^GuestAddress=//p'
}

# Nothing of any VM may be left where none runs.
check_nothing_left() {
    local left
    left=$(ip -o link show | grep -E ': inf[0-9]+' || true)
    check_eq "$left" '' 'the list of TAPs'
    left=$(nft list tables | grep inferno || true)
    check_eq "$left" '' 'the list of nftables tables'
    left=$(pgrep -fa '^(/kiln|/firecracker|/usr/bin/qemu-system)' || true)
    check_eq "$left" '' 'the list of processes'
    left=$(findmnt -rno TARGET | grep /var/lib/inferno/ || true)
    check_eq "$left" '' 'the list of mounts'
    left=$(find /var/lib/inferno/vms -type s -o -type p -o -type b -o -type c 2>/dev/null || true)
    check_eq "$left" '' 'the list of sockets, FIFOs and device nodes'
    left=$(find /run/inferno -maxdepth 1 -name '*.env' 2>/dev/null || true)
    check_eq "$left" '' 'the list of environment files'
}

# Failed units were expected by the case; it says so, and the host is clean again.
forget_failed() {
    systemctl reset-failed
}
