#!/bin/bash
# Does this CRIU work on this kernel? Dumps and restores a small process tree with a listening inet socket, and talks to it
# after. Tried, not looked up: neither a version nor `criu check` tells (some pass the check and dump no socket).
#
#   criu-selftest.sh CRIU      as root; exit 0 when it works, else prints why not
set -eu

export CRIU=${1:?usage: criu-selftest.sh CRIU}
command -v "$CRIU" >/dev/null 2>&1 || { echo "$CRIU: not there"; exit 1; }
DIRECTORY=$(mktemp -d "${TMPDIR:-/tmp}/turntable-criu.XXXXXX")
export DIRECTORY
# Perl: part of every Debian, and of nothing that a dump finds hard.
export LISTENER='use IO::Socket::INET;
    my $door = IO::Socket::INET->new(LocalAddr => "127.0.0.1:4711", Listen => 5, ReuseAddr => 1) or die;
    while (my $caller = $door->accept) { print $caller "alive\n"; }'
trap 'rm -rf "$DIRECTORY"' EXIT

inside() {
    say() { timeout 2 bash -c 'cat </dev/tcp/127.0.0.1/4711' 2>/dev/null || true; }
    answers() { for _ in $(seq 50); do [ "$(say)" != alive ] || return 0; sleep 0.05; done; return 1; }
    fail() { echo "$1"; tail -n 4 "$DIRECTORY/$2" 2>/dev/null; exit 1; }

    ip link set lo up
    (
        # CRIU cannot name files that were opened outside of this mount namespace: take along none.
        exec </dev/null >/dev/null 2>&1
        for fd in /proc/self/fd/*; do [ "${fd##*/}" -le 2 ] || eval "exec ${fd##*/}>&-"; done
        exec setsid sh -c 'perl -e "$LISTENER" & wait'
    ) &
    tree=$!
    answers || fail 'the process to dump did not start'

    "$CRIU" dump --tree "$tree" --images-dir "$DIRECTORY" --tcp-close -o dump.log >/dev/null 2>&1 || fail 'dump failed' dump.log
    { wait "$tree"; } 2>/dev/null || true
    [ "$(say)" != alive ] || fail 'still running after the dump' dump.log
    "$CRIU" restore --restore-detached --images-dir "$DIRECTORY" --tcp-close -o restore.log >/dev/null 2>&1 || fail 'restore failed' restore.log
    answers || fail 'restored, but it does not answer' restore.log
}
export -f inside

# Namespaces of its own: no port of the machine is used, and whatever goes wrong dies with the pid 1 of the test, a bash: it reaps.
timeout --signal KILL 20 unshare --net --pid --mount --fork --kill-child --mount-proc bash -euc inside 2>/dev/null
