# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The test machine: a whole Debian under QEMU, with its own kernel, cgroup v2, LVM, and through the emulated SVM a KVM. Sourced.
#
# A run has a folder CACHE/run/vm.XXXXXX with a copy-on-write disk that stays from boot to boot. What a boot is to do comes
# as a tar file on the second disk (tests/vm/files/dev-init unpacks it before systemd starts), so nothing is mounted here. The third has
# the images, the fourth, /dev/vdd, is empty, and for the case to use. What a boot writes to /dev/virtio-ports/inferno.witness is outside of
# the machine at once; later boots find it in /var/lib/inferno-dev/witness.
#
# Lines in the scripts of a case, each beginning with "# ":
#       disk: volatile      in the first one: first and fourth disk have a write cache, and a power cut loses all in it that was not flushed
#       spare: 768M         in the first one: the fourth disk has that size, instead of 2G
#       machine: bare       this boot is on another machine, new and without Inferno, which has got the fourth disk
#       repeat: N           this boot comes N times in turn, or as often as --repeat says

VM_BOOT_SECONDS=180
vm_servers=()

# vm_run [--seconds N] [--artefacts DIR] [--case NAME] SCRIPT…: boots a new machine once per SCRIPT, one after the other on one disk,
# and runs it there as root. Ends at the first that fails, with its exit code; console and journal are then kept in DIR. With a
# case's name, what is checked after every case is.
vm_run() {
    local seconds=900 artefacts='' case='' run base images script volatile='' boot=0 r=0
    while :; do
        case ${1-} in
            --seconds) seconds=$2; shift 2 ;;
            --artefacts) artefacts=$2; shift 2 ;;
            --case) case=$2; shift 2 ;;
            *) break ;;
        esac
    done
    base=$(vm_disk)
    images=$(vm_images)
    vm_prepare "$1"
    for script in "$@"; do
        boot=$((boot + 1))
        [ $# -eq 1 ] || say "  boot $boot: ${script##*/}"
        if [ $boot -eq 1 ]; then
            vm_new "$script" inferno
        elif [ "$(vm_says machine "$script")" = bare ]; then
            vm_new "$script"
        else
            vm_payload "$script"
        fi
        vm_boot || r=$?
        [ $r -eq 0 ] || break
    done
    if [ $r -ne 0 ]; then
        artefacts=${artefacts:-$CACHE/artefacts/${run##*/}}
        mkdir -p "$artefacts"
        cp "$run"/*.log "$run"/*.txt "$artefacts/"
        say "kept: $artefacts"
    fi
    vm_remove
    return $r
}

vm_disk() {
    local vm=$SOURCE/tests/vm
    cache_get vm "$(cache_key -- "$vm/make-disk" "$vm/packages" "$vm"/files/* "$SOURCE/tests/host/packages" \
        "$SOURCE/tests/host/make-root" "$SOURCE/tests/lib/make-tree")" \
        step "making the test machine's disk" "$vm/make-disk" "$CACHE/debs"
}

# The test images as a disk that the machine mounts at /images.
vm_images() {
    local list
    list=$(images_get)
    cache_get vm-images "$(cache_key "$list")" vm_make_images "$list"
}

vm_make_images() { # LIST OUTPUT
    local name path folder r=0
    folder=$(mktemp -d "$CACHE/vm-images/.folder.XXXXXX")
    while read -r name path; do
        cp -a "$path" "$folder/$name" || r=$?
    done <<<"$1"
    truncate -s 1G "$2" && mkfs.ext4 -q -O ^has_journal -L images -d "$folder" "$2" || r=$?
    rm -rf "$folder"
    return $r
}

# What a script has in its line "# KEY: VALUE". A command that was typed comes by a pipe, which can be read once.
vm_says() { # KEY SCRIPT
    [ ! -f "$2" ] || sed -n "s/^# $1: //p" "$2"
}

# How often a boot comes.
vm_times() { # SCRIPT [TIMES]
    local times
    times=$(vm_says repeat "$1")
    [ -z "$times" ] || times=${2:-$times}
    echo "${times:-1}"
}

vm_prepare() { # SCRIPT: the first
    local size
    run_new vm
    trap 'vm_remove' EXIT
    volatile=$(vm_says disk "$1")
    size=$(vm_says spare "$1")
    truncate -s "${size:-2G}" "$run/spare.raw"
}

# A machine that has never been on, with the tests and, where the word is there, this build of Inferno.
vm_new() { # SCRIPT [inferno]
    local tree=$run/tree
    if [ -z "$volatile" ]; then
        qemu-img create -q -f qcow2 -b "$base/disk.raw" -F raw "$run/disk.qcow2"
    else
        cp --sparse=always "$base/disk.raw" "$run/disk.raw"
    fi
    mkdir -p "$tree/usr/lib/inferno-tests"
    cp -a "$SOURCE"/tests/{host,vm,lib} "$tree/usr/lib/inferno-tests/"
    if [ "${2-}" = inferno ]; then
        DESTDIR=$tree meson install -C "$SOURCE/build" --no-rebuild --quiet >/dev/null
        install -Dm 0644 "$(kernel_get)" "$tree/usr/lib/inferno/vmlinux"
    fi
    vm_payload "$1"
}

# Serves NAME.raw, from a process that holds what is written until a flush: with the process, that is lost.
vm_serve() { # NAME
    rm -f "$run/$1.socket"
    TMPDIR=$run nbdkit --exit-with-parent --unix "$run/$1.socket" --filter=cache file "$run/$1.raw" \
        cache=writeback >"$run/nbdkit-$1-$boot.log" 2>&1 &
    vm_servers+=($!)
    until [ -S "$run/$1.socket" ]; do
        kill -0 $! || { cat "$run/nbdkit-$1-$boot.log" >&2; die 1 "the disk '$1' of the test machine is not there"; }
        sleep 0.1
    done
}

# One boot: the machine goes off by itself when the script is done, or is killed where it asks for a power cut.
vm_boot() {
    local output=$run/output-$boot status=$run/status-$boot first fourth reader r
    mkfifo "$output" "$status"
    exec {vm_status}<>"$status"
    cat "$output" &
    reader=$!
    if [ -z "$volatile" ]; then
        first="file=$run/disk.qcow2,format=qcow2,cache=unsafe"
        fourth="file=$run/spare.raw,format=raw,cache=unsafe"
    else
        vm_serve disk
        vm_serve spare
        first="file=nbd+unix:///?socket=$run/disk.socket,format=raw,cache=writeback"
        fourth="file=nbd+unix:///?socket=$run/spare.socket,format=raw,cache=writeback"
    fi
    setpriv --pdeathsig KILL qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max -m 3072 -smp 2 -nodefaults -no-user-config \
        -display none -no-reboot -kernel "$base/vmlinuz" -initrd "$base/initrd.img" \
        -append "root=/dev/vda rw console=ttyS0 quiet init=/usr/local/sbin/dev-init systemd.unit=dev.target" \
        -drive "$first,if=virtio" \
        -drive "file=$run/payload.tar,format=raw,if=virtio,readonly=on" \
        -drive "file=$images,format=raw,if=virtio,readonly=on" \
        -drive "$fourth,if=virtio" \
        -serial "file:$run/console-$boot.log" -device virtio-serial-pci -device virtio-rng-pci \
        -chardev "file,id=output,path=$output" -device virtserialport,chardev=output,name=inferno.output \
        -chardev "file,id=status,path=$status" -device virtserialport,chardev=status,name=inferno.status \
        -chardev "file,id=journal,path=$run/journal-$boot.txt" -device virtserialport,chardev=journal,name=inferno.journal \
        -chardev "file,id=witness,path=$run/witness-$boot.txt" -device virtserialport,chardev=witness,name=inferno.witness \
        </dev/null >"$run/qemu-$boot.log" 2>&1 &
    vm_pid=$!
    r=$(vm_wait)
    wait "$vm_pid" 2>/dev/null || true
    vm_pid=
    vm_end_servers
    : <>"$output"       # had QEMU not even opened it, the reader would wait for ever
    wait "$reader" || true
    exec {vm_status}>&-
    return "$r"
}

# What was flushed is in the files; nothing more is to get there.
vm_end_servers() {
    [ ${#vm_servers[@]} -gt 0 ] || return 0
    kill -KILL "${vm_servers[@]}" 2>/dev/null || true
    wait "${vm_servers[@]}" 2>/dev/null || true
    vm_servers=()
}

# Prints the exit code of the boot's script, once the machine is off.
vm_wait() {
    local line='' end=$((SECONDS + VM_BOOT_SECONDS + seconds))
    while [ $SECONDS -lt $end ] && kill -0 "$vm_pid" 2>/dev/null; do
        ! read -r -t 1 -u "$vm_status" line || break
    done
    case $line in
        cut)
            kill -STOP "$vm_pid"        # it sees nothing of its disks' end
            [ ${#vm_servers[@]} -eq 0 ] || kill -KILL "${vm_servers[@]}"
            kill -KILL "$vm_pid"
            echo 0
            return ;;
        exit\ [0-9]*)
            timeout 120 tail --pid="$vm_pid" -f /dev/null || kill -KILL "$vm_pid"
            echo "${line#exit }" ;;
        *)
            say "the test machine ended, or was ended after $((VM_BOOT_SECONDS + seconds)) s, without an exit code"
            kill -KILL "$vm_pid" 2>/dev/null || true
            tail -n 40 "$run/qemu-$boot.log" "$run/console-$boot.log" >&2 || true
            echo 1 ;;
    esac
}

# The tar file of a boot: the script, what there is outside, and at a machine's first one what is in the tree already.
vm_payload() { # SCRIPT
    local tree=$run/tree
    mkdir -p "$tree/var/lib/inferno-dev"
    cp "$1" "$tree/var/lib/inferno-dev/script"
    echo "$case" >"$tree/var/lib/inferno-dev/case"
    echo "$seconds" >"$tree/var/lib/inferno-dev/seconds"
    cat "$run"/witness-*.txt >"$tree/var/lib/inferno-dev/witness" 2>/dev/null || true
    tar -C "$tree" --owner=0 --group=0 -cf "$run/payload.tar" .
    rm -rf "$tree"
}

vm_remove() {
    [ -n "${run-}" ] || return 0
    if [ -n "${vm_pid-}" ]; then
        kill -KILL "$vm_pid" 2>/dev/null || true
        wait "$vm_pid" 2>/dev/null || true
    fi
    vm_end_servers
    run_remove
}
