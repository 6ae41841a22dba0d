# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The guest kernel, from Debian's source package. Sourced.

KERNEL_SOURCE=/usr/src/linux-source-6.1.tar.xz

# Prints the path of the guest's vmlinux; CACHE/kernel/vmlinux points to the last one asked for.
kernel_get() {
    local key dir
    key=$(cache_key "$(dpkg-query -W -f '${Package} ${Version}\n' linux-source-6.1 gcc binutils)" \
        -- "$SOURCE/kernel/inferno.config" "$SOURCE/kernel/build-vmlinux")
    dir=$(cache_get kernel "$key" kernel_make)
    ln -sfnT "$key/vmlinux" "$CACHE/kernel/.vmlinux.$$"
    mv -fT "$CACHE/kernel/.vmlinux.$$" "$CACHE/kernel/vmlinux"
    echo "$dir/vmlinux"
}

kernel_make() { # FOLDER
    local work r=0
    mkdir "$1"
    work=$(mktemp -d "$CACHE/kernel/.build.XXXXXX")
    step "building the guest kernel (some minutes, once)" \
        "$SOURCE/kernel/build-vmlinux" "$KERNEL_SOURCE" "$SOURCE/kernel/inferno.config" "$work" "$1/vmlinux" || r=$?
    rm -rf "$work"
    return $r
}
