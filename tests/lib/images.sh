# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The test images. Sourced.

images_get() {
    mkdir -p "$CACHE/images/none"
    echo "$CACHE/images/none"
}
