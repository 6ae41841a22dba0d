# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What all of ./dev stands on: messages, timed steps, the cache. Sourced.

# Messages go to stderr, so that a command's own output can be piped.
say() {
    printf '%s\n' "$*" >&2
}

die() { # EXIT-CODE MESSAGE
    say "dev: $2"
    exit "$1"
}

# Runs a command whose output matters only when it fails; prints one line with the time it took.
step() { # TITLE COMMAND [ARGUMENT…]
    local title=$1 log start=$EPOCHREALTIME r=0
    shift
    log=$(mktemp -t inferno-dev.XXXXXX)
    printf '  %s … ' "$title" >&2
    "$@" >"$log" 2>&1 </dev/null || r=$?
    if [ $r -eq 0 ]; then
        say "$(seconds_since "$start") s"
    else
        say "failed ($r)"
        cat "$log" >&2
    fi
    rm -f "$log"
    return $r
}

seconds_since() { # EPOCHREALTIME
    local us=$((${EPOCHREALTIME/./} - ${1/./}))
    printf '%d.%d' $((us / 1000000)) $((us % 1000000 / 100000))
}

# The digest of some texts and files: cache_key TEXT… -- FILE…
cache_key() {
    local texts=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do texts+=("$1"); shift; done
    shift || true
    { printf '%s\n' "${texts[@]}"; [ $# -eq 0 ] || cat "$@"; } | sha256sum | cut -c1-20
}

# Prints the path CACHE/KIND/KEY, made by `MAKER … <path to make>` where it is not there yet. It appears by one rename, so a
# path that exists is whole; a lock lets two ./dev make it once. What nobody asked for in two weeks goes.
cache_get() { # KIND KEY MAKER [ARGUMENT…]
    local dir=$CACHE/$1 entry=$CACHE/$1/$2 temporary=$CACHE/$1/.$2.tmp lock
    shift 2
    if [ ! -e "$entry" ]; then
        mkdir -p "$dir"
        exec {lock}>"$dir/.lock"
        flock "$lock"
        if [ ! -e "$entry" ]; then
            rm -rf "$temporary"
            "$@" "$temporary" {lock}>&- >&2 || { rm -rf "$temporary"; die 1 "cannot make '$entry'"; }
            mv -T "$temporary" "$entry"
            find "$dir" -mindepth 1 -maxdepth 1 ! -name '.*' -mtime +14 ! -path "$entry" -exec rm -rf {} +
        fi
        exec {lock}>&-
    fi
    touch "$entry"
    printf '%s\n' "$entry"
}

# Makes the folder of a run, CACHE/run/KIND.XXXXXX, and sets `run`. Whoever lives in a run inherits the lock on its folder; a folder
# that nobody locks is a dead run's, and goes here.
run_new() { # KIND
    local dead
    mkdir -p "$CACHE/run"
    for dead in "$CACHE"/run/*; do
        ! flock -n "$dead" true 2>/dev/null || rm -rf "$dead"
    done
    run=$(mktemp -d "$CACHE/run/$1.XXXXXX")
    exec {run_lock}<"$run"
    flock "$run_lock"
}

run_remove() {
    rm -rf "$run"
    exec {run_lock}<&-
    run=
    trap - EXIT
}
