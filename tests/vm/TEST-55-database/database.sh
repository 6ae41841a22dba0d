# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the boots share. What the database has said is committed goes to the witness, outside of the machine that dies. Sourced.
. /usr/lib/inferno-tests/host/lib.sh
START_SECONDS=300       # emulation within emulation

witness=/var/lib/inferno-dev/witness    # what earlier boots wrote
file=/var/lib/inferno/volumes/rows.img
credential=/etc/credstore.encrypted/inferno.volume.rows
spare=/dev/vdd
export PGPASSWORD=secret PGCONNECT_TIMEOUT=10

sql() {
    psql -h "$(guest_address db)" -U postgres -qtAc "$1"
}

# Commits row after row and tells the witness of each when it is committed. Does not end by itself.
write_rows() { # ROUND
    seq 1000000 | sed "s/.*/insert into t values ($1, &) returning n, i, 'ok';/" |
        stdbuf -oL psql -h "$(guest_address db)" -U postgres -qtA -F ' ' 2>/dev/null | tee /run/told >/dev/virtio-ports/inferno.witness
}

told() { # NUMBER: so many rows, at least, were committed in this round
    [ "$(grep -c 'ok$' /run/told)" -ge "$1" ]
}

# Each row that the witness knows of is there.
check_rows() {
    local lost
    sed -n 's/^\([0-9]* [0-9]*\) ok$/\1/p' "$witness" "$@" | sort >/run/committed
    sql 'select n, i from t' | tr '|' ' ' | sort >/run/there
    lost=$(comm -23 /run/committed /run/there)
    check_eq "$lost" '' 'the list of committed rows that are not there'
    echo "$(wc -l </run/committed) rows were told to be committed, $(wc -l </run/there) are there"
    check_eq "$(sql 'select count(*) from t where n = 0')" 10000
}
