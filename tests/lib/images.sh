# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The test images, each an OCI layout of its own with the image "latest". Sourced.

IMAGES=(busybox debian nginx redis postgresql layers alpine distroless scratch own)

# Prints one line "NAME PATH" per image; what is not there is made.
images_get() {
    local name path
    for name in "${IMAGES[@]}"; do
        case $name in
            busybox) path=$(images_busybox) ;;
            debian) path=$(images_debian) ;;
            layers) path=$(images_layers) ;;
            alpine | distroless | scratch | own) path=$(images_any "$name") ;;
            *) path=$(images_service "$name") ;;
        esac || return
        echo "$name $path"
    done
}

images_busybox() {
    local make=$SOURCE/tests/images/make-busybox
    cache_get images "busybox-$(cache_key "$(sha256sum </bin/busybox)" -- "$make" "$SOURCE/tests/images/payload.c")" \
        step "making the image busybox" "$make" /bin/busybox
}

images_debian() {
    local make=$SOURCE/tests/images/make-debian
    cache_get images "debian-$(cache_key -- "$make" "$SOURCE/tests/lib/make-tree" "$SOURCE/tests/images/debian/packages")" \
        step "making the image debian" "$make" "$CACHE/debs"
}

# Of as little as an image can be made of.
images_any() { # NAME
    local make=$SOURCE/tests/images/make-any
    cache_get images "$1-$(cache_key "$1 $(sha256sum </bin/busybox)" -- "$make" "$SOURCE/tests/images/any"/*)" \
        step "making the image $1" "$make" "$1" /bin/busybox
}

images_service() { # NAME
    local folder=$SOURCE/tests/images/$1 make=$SOURCE/tests/images/make-service base
    base=$(images_debian) &&
        cache_get images "$1-$(cache_key "$base" -- "$make" "$folder"/*)" \
            step "making the image $1" "$make" "$folder" "$base" "$CACHE/debs"
}

# By another program, of 30 layers and 10,000 files.
images_layers() {
    local steps=$SOURCE/tests/images/layers/steps make=$SOURCE/tests/images/make-layers base
    base=$(images_debian) &&
        cache_get images "layers-$(cache_key "$base" -- "$make" "$steps")" \
            step "making the image layers" "$make" "$steps" "$base" "$CACHE/debs"
}
