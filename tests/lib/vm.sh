# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The test machine: a whole Debian under QEMU, with its own kernel, cgroup v2, LVM, and through the emulated SVM a KVM. Sourced.
#
# A run has a folder CACHE/run/vm.XXXXXX with a copy-on-write disk that stays from boot to boot. What a boot is to do comes
# as a tar file on the second disk (tests/vm/files/dev-init unpacks it before systemd starts), so nothing is mounted here. The third has
# the images, the fourth, /dev/vdd, is empty, and for the case to use.

VM_BOOT_SECONDS=180

# vm_run [--seconds N] [--artefacts DIR] [--case NAME] SCRIPT…: boots a new machine once per SCRIPT, one after the other on one disk,
# and runs it there as root. Ends at the first that fails, with its exit code; console and journal are then kept in DIR. With a
# case's name, what is checked after every case is.
vm_run() {
    local seconds=900 artefacts='' case='' run base images script boot=0 r=0
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
    vm_prepare
    for script in "$@"; do
        boot=$((boot + 1))
        [ $# -eq 1 ] || say "  boot $boot: ${script##*/}"
        vm_boot "$script" || r=$?
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

vm_prepare() {
    run_new vm
    trap 'vm_remove' EXIT
    qemu-img create -q -f qcow2 -b "$base/disk.raw" -F raw "$run/disk.qcow2"
    truncate -s 2G "$run/spare.raw"
}

# One boot: the machine goes off by itself when the script is done, or is killed where it asks for a power cut.
vm_boot() { # SCRIPT
    local output=$run/output-$boot status=$run/status-$boot reader r
    vm_payload "$1"
    mkfifo "$output" "$status"
    exec {vm_status}<>"$status"
    cat "$output" &
    reader=$!
    setpriv --pdeathsig KILL qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max -m 3072 -smp 2 -nodefaults -no-user-config \
        -display none -no-reboot -kernel "$base/vmlinuz" -initrd "$base/initrd.img" \
        -append "root=/dev/vda rw console=ttyS0 quiet init=/usr/local/sbin/dev-init systemd.unit=dev.target" \
        -drive "file=$run/disk.qcow2,format=qcow2,if=virtio,cache=unsafe" \
        -drive "file=$run/payload.tar,format=raw,if=virtio,readonly=on" \
        -drive "file=$images,format=raw,if=virtio,readonly=on" \
        -drive "file=$run/spare.raw,format=raw,if=virtio,cache=unsafe" \
        -serial "file:$run/console-$boot.log" -device virtio-serial-pci -device virtio-rng-pci \
        -chardev "file,id=output,path=$output" -device virtserialport,chardev=output,name=inferno.output \
        -chardev "file,id=status,path=$status" -device virtserialport,chardev=status,name=inferno.status \
        -chardev "file,id=journal,path=$run/journal-$boot.txt" -device virtserialport,chardev=journal,name=inferno.journal \
        </dev/null >"$run/qemu-$boot.log" 2>&1 &
    vm_pid=$!
    r=$(vm_wait)
    wait "$vm_pid" 2>/dev/null || true
    vm_pid=
    : <>"$output"       # had QEMU not even opened it, the reader would wait for ever
    wait "$reader" || true
    exec {vm_status}>&-
    return "$r"
}

# Prints the exit code of the boot's script, once the machine is off.
vm_wait() {
    local line='' end=$((SECONDS + VM_BOOT_SECONDS + seconds))
    while [ $SECONDS -lt $end ] && kill -0 "$vm_pid" 2>/dev/null; do
        ! read -r -t 1 -u "$vm_status" line || break
    done
    case $line in
        cut)
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

# The tar file of a boot: the script, and at the first one the build, the kernel and the tests.
vm_payload() { # SCRIPT
    local tree=$run/tree
    mkdir -p "$tree/var/lib/inferno-dev"
    if [ "$boot" -eq 1 ]; then
        DESTDIR=$tree meson install -C "$SOURCE/build" --no-rebuild --quiet >/dev/null
        install -Dm 0644 "$(kernel_get)" "$tree/usr/lib/inferno/vmlinux"
        mkdir -p "$tree/usr/lib/inferno-tests"
        cp -a "$SOURCE"/tests/{host,vm,lib} "$tree/usr/lib/inferno-tests/"
    fi
    cp "$1" "$tree/var/lib/inferno-dev/script"
    echo "$case" >"$tree/var/lib/inferno-dev/case"
    echo "$seconds" >"$tree/var/lib/inferno-dev/seconds"
    tar -C "$tree" --owner=0 --group=0 -cf "$run/payload.tar" .
    rm -rf "$tree"
}

vm_remove() {
    [ -n "${run-}" ] || return 0
    if [ -n "${vm_pid-}" ]; then
        kill -KILL "$vm_pid" 2>/dev/null || true
        wait "$vm_pid" 2>/dev/null || true
    fi
    run_remove
}
