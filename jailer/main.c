/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "jailer/jailer.h"

int main(int argc, char **argv) {
        return jailer_run(argv);
}
