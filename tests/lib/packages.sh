# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The Debian packages that each command of ./dev needs. Sourced.

packages_of() { # SET
    case $1 in
        kernel)
            echo linux-source-6.1 gcc make bc flex bison libelf-dev libssl-dev xz-utils binutils ;;
        build)
            echo meson ninja-build pkg-config gcc clang llvm libc6-dev libsystemd-dev libjansson-dev libsqlite3-dev \
                libnftnl-dev libmnl-dev libarchive-dev libcmocka-dev libcryptsetup-dev libdevmapper-dev libext2fs-dev comerr-dev libsquashfs-dev libisal-dev libzstd-dev nettle-dev \
                dropbear-bin liblz4-dev liblzma-dev zlib1g-dev libclang-rt-14-dev libarchive-tools ;;
        images)
            echo busybox-static buildah gcc libc6-dev mmdebstrap musl-tools umoci ;;
        vm)
            echo mmdebstrap qemu-system-x86 qemu-utils nbdkit e2fsprogs util-linux procps ;;
        bench)
            echo jq bsdextrautils ;;
        host)
            echo mmdebstrap systemd-container util-linux procps ;;
    esac
}

# Installs what is missing of some sets, and says so; with all there it costs one dpkg-query.
packages_install() { # SET…
    local wanted have missing
    wanted=$(for set in "$@"; do packages_of "$set"; done | tr ' ' '\n' | sort -u)
    have=$({ dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null || true; } | sed -n 's/^installed //p' | sort -u)
    missing=$(comm -23 <(echo "$wanted") <(echo "$have") | tr '\n' ' ')
    [ -n "${missing// /}" ] || return 0
    say "installing: $missing"
    step "apt-get update" apt-get -q update
    step "apt-get install" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=900 \
        install --no-install-recommends $missing
}
