#!/bin/sh
# The Debian packages Turntable needs, with the reason for each. Installs only what is missing, and nothing recommended.
#
#   apt-packages.sh            what the helper needs to run and to be built
#   apt-packages.sh --turns    also what the turns run that the benchmark measures
#   apt-packages.sh --tests    also what only the tests need
#   apt-packages.sh --check    installs nothing; prints what is missing and exits 1 if something is
set -eu

packages='
ca-certificates  the HTTPS connections of the model endpoint and of the egress proxy are verified with it
git              the sample repository; what agents expect to find
runc             runs the sandbox (OCI)
iproute2         makes network namespaces and brings their loopback up
util-linux       unshare, nsenter, mount, findmnt
procps           ps and pkill: what agents and their dev servers expect to find
kmod             loads the overlay module where it is not built in
gcc              builds the static C children: sentry, supervisor, treefs
libc6-dev        their C library, also as a static archive
make             their build
linux-libc-dev   kernel headers: seccomp notification, clone3, statx
clang            compiles the BPF programs
llvm             llvm-strip: BPF objects without debug sections
bpftool          vmlinux.h and the BPF skeletons
libbpf-dev       loads BPF; linked into the sentry
libelf-dev       libbpf reads ELF with it
zlib1g-dev       libelf reads compressed sections with it
'
turn_packages='
python3          a program that agents run in their turns, and write
curl             asks servers that agents start
'
test_packages='
chromium           the browser in which the tests drive VS Code
fonts-dejavu-core  so that the pictures the tests take have letters
patch              proves that our patches are ones that it takes
'

mode=install
for argument in "$@"; do
    case $argument in
        --turns) packages=$packages$turn_packages ;;
        --tests) packages=$packages$turn_packages$test_packages ;;
        --check) mode=check ;;
        *) sed -n '2,7p' "$0" | cut -c3- >&2; exit 2 ;;
    esac
done

if ! command -v apt-get >/dev/null 2>&1; then
    echo "This script knows Debian and Ubuntu only. Install the equivalents of these packages, then try again:" >&2
    echo "$packages" >&2
    exit 1
fi

missing=
for package in $(echo "$packages" | sed -n 's/^\([^ ]\{1,\}\) .*/\1/p'); do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$mode" = check ]; then
    echo "missing:$missing"
    exit 1
fi

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "Packages are missing, and installing them needs root. As root, run:" >&2
        echo "    apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
}
apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300 "$@"; }

# Package lists may be absent (a container image) or stale (a version in them has left the mirror): refresh and try once more.
# shellcheck disable=SC2086 # one word each
apt_get install --no-install-recommends $missing || {
    apt_get update
    apt_get install --no-install-recommends $missing || {
        echo "apt-get could not install:$missing. See its message above; if it is about the network, check /etc/apt/sources.list." >&2
        exit 1
    }
}
echo "= installed:$missing"
