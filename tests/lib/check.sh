# SPDX-License-Identifier: LGPL-2.1-or-later
#
# ./dev check: everything, one line per test, what failed in full. Sourced.

CASE_SECONDS=600        # where a case has no line "# seconds: N"

check_run() { # [--asan] [--only PATTERN] [--repeat N]
    local only='*' asan='' repeat='' passed=0 failed=0 skipped=0 failures=() artefacts kernel case start=$SECONDS
    while [ $# -gt 0 ]; do
        case $1 in
            --asan) asan=--asan; shift ;;
            --only) only=${2:?}; shift 2 ;;
            --repeat) repeat=${2:?}; shift 2 ;;
            *) die 2 "check: unknown argument '$1'" ;;
        esac
    done
    artefacts=$CACHE/artefacts/check-$(date +%Y%m%d-%H%M%S)
    mkdir -p "$artefacts"
    say "guest kernel"
    kernel=$(kernel_get)
    if [ "$only" = '*' ]; then
        INFERNO_KERNEL=$kernel check_build build build_release
        check_build build-asan build_asan
    else
        step "building" build_release
        [ -z "$asan" ] || step "building with sanitizers" build_asan
    fi
    say "images, test host, test machine"
    images_get >/dev/null
    host_tree >/dev/null
    vm_disk >/dev/null
    say "cases on the test host"
    for case in "$SOURCE"/tests/host/TEST-$only/run; do
        [ ! -e "$case" ] || check_case "$(basename "${case%/run}")" check_host_case
    done
    say "cases on the test machine"
    for case in "$SOURCE"/tests/vm/TEST-$only/boot-1; do
        [ ! -e "$case" ] || check_case "$(basename "${case%/boot-1}")" check_vm_case
    done
    check_summary
}

# Builds, then runs the unit tests and the fuzz targets' corpora; each counts as a test.
check_build() { # FOLDER BUILDER
    local folder=$SOURCE/$1 log=$SOURCE/$1/meson-logs/testlog.json bad r=0
    say "$1"
    if ! step "building" "$2"; then
        failed=$((failed + 1))
        failures+=("$1: does not build")
        return
    fi
    rm -f "$log"
    step "unit tests and corpora" meson test -C "$folder" --print-errorlogs || r=$?
    passed=$((passed + $(check_count "$log" OK)))
    skipped=$((skipped + $(check_count "$log" SKIP)))
    if [ $r -ne 0 ]; then
        bad=$(check_count "$log" '\(FAIL\|TIMEOUT\|ERROR\|INTERRUPT\)')
        failed=$((failed + (bad > 0 ? bad : 1)))    # a test that does not build has no line in the log
        failures+=("$1: see above")
    fi
}

check_count() { # TESTLOG RESULT
    cat "$1" 2>/dev/null | grep -c "\"result\": \"$2\"" || true
}

check_case() { # NAME RUNNER
    local name=$1 runner=$2 log=$artefacts/$1/output.txt start=$EPOCHREALTIME r=0
    mkdir -p "$artefacts/$name"
    printf '  %s … ' "$name" >&2
    "$runner" "$name" >"$log" 2>&1 </dev/null || r=$?
    case $r in
        0)
            passed=$((passed + 1))
            say "ok, $(seconds_since "$start") s"
            rm -rf "${artefacts:?}/$name" ;;
        77)
            skipped=$((skipped + 1))
            say "skipped: $(tail -n 1 "$log")" ;;
        *)
            failed=$((failed + 1))
            failures+=("$name: $artefacts/$name")
            say "FAILED ($r), $(seconds_since "$start") s"
            sed 's/^/    /' "$log" >&2 ;;
    esac
}

# In a process of its own, so that one case's end, whatever it is, is not the end of all.
check_host_case() { # NAME
    "$SOURCE/dev" run-case host "$1" "$artefacts/$1" $asan
}

check_vm_case() { # NAME
    "$SOURCE/dev" run-case vm "$1" "$artefacts/$1" "$repeat"
}

check_summary() {
    local failure
    say ""
    for failure in "${failures[@]}"; do
        say "failed: $failure"
    done
    [ $failed -gt 0 ] || rmdir --ignore-fail-on-non-empty "$artefacts"
    echo "took $(((SECONDS - start) / 60)) min $(((SECONDS - start) % 60)) s, $skipped skipped"
    echo "$passed passed, $failed failed"
    [ $failed -eq 0 ]
}

# One case, for check_case.
case_run() { # host|vm NAME ARTEFACTS [--asan|REPEAT]
    local folder=$SOURCE/tests/$1/$2 seconds script scripts=() i
    seconds=$(sed -n 's/^# seconds: //p' "$folder"/* | head -n 1)
    case $1 in
        host) host_run ${4-} --seconds "${seconds:-$CASE_SECONDS}" --artefacts "$3" -- /usr/lib/inferno-tests/host/run-case "$2" ;;
        vm)
            for script in "$folder"/boot-*; do
                for ((i = $(vm_times "$script" "${4-}"); i > 0; i--)); do scripts+=("$script"); done
            done
            vm_run --seconds "${seconds:-$CASE_SECONDS}" --artefacts "$3" --case "$2" "${scripts[@]}" ;;
    esac
}
