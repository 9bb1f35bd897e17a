#!/bin/sh
# Finds or fetches a CRIU that works on this kernel, and leaves it at .cache/criu/criu. Every candidate has to pass
# criu-selftest.sh. Nothing of the system is changed: no apt source is added, no library replaced.
#
# In order: the system's own; the one fetched before; Debian's newer binary with its libraries in a folder of their own;
# built from Debian's source. If all fail, .cache/criu/unavailable says why and Turntable goes on with files only.
set -eu

cd "$(dirname "$0")/../.."
here=$PWD/host-helper/setup
cache=$PWD/.cache/criu
suites='sid testing trixie'
mkdir -p "$cache"
rm -f "$cache/unavailable"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# Keeps the candidate when it works.
accept() {
    name=$1 program=$2
    if reason=$(as_root bash "$here/criu-selftest.sh" "$program"); then
        echo "= $name passes its self-test: $("$program" --version 2>/dev/null | sed -n 's/^Version: //p')"
        return 0
    fi
    echo "$name: $reason" | tee -a "$cache/rejected"
    return 1
}

# A wrapper at the one place where the helper looks.
wrap() {
    printf '#!/bin/sh\n# Made by host-helper/setup/criu.sh.\n%s\n' "$1" >"$cache/criu.new"
    chmod +x "$cache/criu.new"
}
keep() { mv "$cache/criu.new" "$cache/criu"; rm -f "$cache/rejected"; exit 0; }

# apt with lists, cache and status of its own, on a suite of the mirror this machine already uses.
private_apt() {
    "$@" -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State="$apt" -o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/status" \
        -o Dir::Cache="$apt/cache" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
        -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false -o APT::Install-Recommends=false \
        -o APT::Sandbox::User=root -o Debug::NoLocking=true
}
private_apt_for() {
    type=$1 suite=$2
    apt=$cache/apt
    rm -rf "$apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/status"
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(SUITE) $(CODENAME)' 'Created-By: Packages' 2>/dev/null |
        awk '$0 !~ /security|updates|backports/ && $1 ~ /debian/ { print $1; exit }')
    [ -n "$mirror" ] || { echo 'apt names no Debian mirror: run apt-get update, or install CRIU 4.2 or newer yourself.' >&2; return 1; }
    signed='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
    [ -f /usr/share/keyrings/debian-archive-keyring.gpg ] || signed=
    echo "$type $signed $mirror $suite main" >"$apt/sources.list"
    private_apt apt-get update -o Acquire::Retries=2
}

# criu and every library it needs, its C library too, unpacked into a folder: it runs on any older system.
fetch_binary() {
    private_apt_for deb "$1" || return 1
    private_apt apt-get install -y --download-only criu || return 1
    rm -rf "$cache/root.new" && mkdir "$cache/root.new"
    for deb in "$apt"/cache/archives/*.deb; do dpkg-deb --extract "$deb" "$cache/root.new" || return 1; done
    rm -rf "$cache/root.new/usr/share" "$cache/root.new/etc" "$cache/root" "$apt"
    mv "$cache/root.new" "$cache/root"
    loader=$(cd "$cache/root" && find . -name 'ld-linux-*.so.*' | sed 's#^\./##' | head -n 1)
    libraries=$(cd "$cache/root" && find . -name 'libc.so.6' -printf '%h\n' | sed 's#^\./##' | head -n 1)
    [ -n "$loader" ] && [ -n "$libraries" ] || { echo "no C library among criu's dependencies in $1"; return 1; }
    wrap "root=\$(dirname \"\$(readlink -f \"\$0\")\")/root
exec \"\$root/$loader\" --library-path \"\$root/$libraries\" \"\$root/usr/sbin/criu\" \"\$@\""
}

build_source() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends gcc make libc6-dev xz-utils pkg-config \
        libprotobuf-c-dev libprotobuf-dev protobuf-c-compiler protobuf-compiler uuid-dev libbsd-dev libnet1-dev libnl-3-dev \
        libcap-dev libgnutls28-dev libnftables-dev || return 1
    private_apt_for deb-src "$1" || return 1
    rm -rf "$cache/source" && mkdir "$cache/source"
    # The packaging half of the source package is not needed, and on some mirrors not there.
    (cd "$cache/source" && private_apt apt-get source --tar-only criu && tar -xf criu_*.orig.tar.* --strip-components=1 && make -j2 criu) || return 1
    strip -o "$cache/built" "$cache/source/criu/criu" || return 1
    rm -rf "$cache/source" "$apt"
    wrap "exec \"\$(dirname \"\$(readlink -f \"\$0\")\")/built\" \"\$@\""
}

: >"$cache/rejected"
system=$(command -v criu || ls /usr/sbin/criu 2>/dev/null || true)
if [ -n "$system" ] && accept "the system's criu" "$system"; then
    wrap "exec $system \"\$@\""
    keep
fi
if [ -x "$cache/criu" ]; then
    accept 'the fetched criu' "$cache/criu" && { rm -f "$cache/rejected"; exit 0; }
fi
for suite in $suites; do
    fetch_binary "$suite" && accept "criu from Debian $suite" "$cache/criu.new" && keep
done
for suite in $suites; do
    build_source "$suite" && accept "criu built from Debian $suite's source" "$cache/criu.new" && keep
done

rm -rf "$cache/criu" "$cache/criu.new" "$cache/apt" "$cache/source"
{
    echo 'No CRIU works here, so processes cannot be kept: checkpoints hold files only, and the timeline says so.'
    cat "$cache/rejected"
} >"$cache/unavailable"
echo '= no CRIU works here: processes will not be kept, files will (.cache/criu/unavailable says why)'
