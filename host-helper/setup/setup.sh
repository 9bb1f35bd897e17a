#!/bin/sh
# Everything a fresh clone needs before anything of it can run: packages, CRIU, the C children, the bundles, the .vsix.
# Safe to run again: what is done and unchanged is skipped, in well under a second. Needs only a POSIX shell, Node and npm;
# packages that are missing are installed through apt-packages.sh, as root or with sudo.
#
#   setup.sh build     npm packages, bundles and the .vsix: no root, no C
#   setup.sh runtime   also apt packages, CRIU, the C children and the agents (default)
#   setup.sh bench     also what the turns run that the benchmark measures
#   setup.sh editor    also VS Code in the browser, for machines without a desktop VS Code
#   setup.sh test      everything above, and Chromium, which the tests drive
set -eu

cd "$(dirname "$0")/../.."
. host-helper/setup/steps.sh
setup=host-helper/setup

target=${1:-runtime}
case $target in
    build | runtime | bench | editor | test) ;;
    *) sed -n '2,10p' "$0" | cut -c3- >&2; exit 2 ;;
esac
rank() { case $1 in build) echo 0 ;; runtime | bench) echo 1 ;; editor) echo 2 ;; test) echo 3 ;; esac; }
at_least() { [ "$(rank "$target")" -ge "$(rank "$1")" ]; }

command -v npm >/dev/null 2>&1 && command -v node >/dev/null 2>&1 || {
    echo 'Node and npm are needed (20 or newer): on Debian, install them from nodejs.org or NodeSource, then try again.' >&2
    exit 1
}
stop() {
    echo "Set-up stopped at '$1'. $2 Then run the same command again: what is done stays done." >&2
    exit 1
}

# An install that replaces node_modules must not run on the Node inside it, which npm puts first on PATH.
outer_path=$(printf %s "$PATH" | tr ':' '\n' | grep -v '/node_modules/' | paste -sd: -)
# (`set -e` does not hold in what `step` runs: the shell ignores it in a condition.)
clean_install() (
    cd "$1" && PATH=$outer_path npm ci --no-audit --no-fund --loglevel=error || exit 1
    echo "= $(find node_modules -maxdepth 3 -name package.json | wc -l) packages"
)
# node_modules that somebody else brought up to date (npm install) are left as they are.
installed() { node "$setup/packages-installed.mjs" "$1"; }
npm_packages() {
    if [ "$(cat "$stamps/$1" 2>/dev/null)" = "$(hash_of "$2/package-lock.json")" ] && [ -d "$2/node_modules" ]; then return 0; fi
    if installed "$2"; then hash_of "$2/package-lock.json" >"$stamps/$1"; return 0; fi
    step "$1" "$(hash_of "$2/package-lock.json")" "$2/node_modules" clean_install "$2" ||
        stop "$1" 'If it is the network: check that npm reaches its registry (npm ping).'
}

npm_packages packages .
PATH=$PWD/node_modules/.bin:$PATH
export PATH

if at_least runtime; then
    case $target in test) more=--tests ;; bench) more=--turns ;; *) more= ;; esac
    # shellcheck disable=SC2086 # nothing or one word
    sh $setup/apt-packages.sh --check $more >/dev/null ||
        step apt "$(date +%s)" - sh $setup/apt-packages.sh $more || stop apt 'Its last lines above say why.'

    # Self-tested again whenever the kernel, or a candidate, is another one.
    step criu "$(uname -r) $(hash_of $setup/criu.sh $setup/criu-selftest.sh) $(stat -c '%Y %s' /usr/sbin/criu 2>/dev/null || true)" .cache/criu \
        sh $setup/criu.sh || stop criu 'Its last lines above say why.'
    [ ! -e .cache/criu/unavailable ] || cat .cache/criu/unavailable >&2

    mkdir -p dist/bin
    for child in bpf:sentry host-helper/sandbox/oci/supervisor:supervisor host-helper/store/treefs:treefs; do
        source=${child%:*} name=${child##*:}
        # The kernel's types are part of what the sentry is built from.
        key="$(hash_of "$source") $(uname -m)"
        if [ -f "$source/Makefile" ]; then
            step "$name" "$key" "dist/bin/$name" make -C "$source" OUT="$PWD/dist/bin" || stop "$name" 'The compiler says why above.'
        else
            echo "$name: $source has no Makefile yet; left out" >&2
        fi
    done

    if [ -f host-helper/agents/bundle/package-lock.json ]; then npm_packages agents host-helper/agents/bundle; fi
fi

# vsce looks at every file below the folder it packages, ignored or not: give it one without node_modules.
package_vsix() (
    stage=.cache/vsix
    rm -rf "$stage"
    mkdir -p "$stage/dist"
    cp -R package.json README.md CHANGELOG.md LICENSE .vscodeignore media "$stage" || exit 1
    for optional in package.nls*.json l10n; do [ ! -e "$optional" ] || cp -R "$optional" "$stage"; done
    cp -R dist/extension.cjs dist/webview "$stage/dist" || exit 1
    vsix=$PWD/dist/turntable.vsix
    cd "$stage" || exit 1
    vsce package --no-dependencies --allow-missing-repository --no-rewrite-relative-links --out "$vsix"
)

mkdir -p dist
sources=$(hash_of host-helper extension webview package.json package-lock.json)
step bundle "$sources" dist/helper.js node $setup/bundle.mjs || stop bundle 'esbuild says why above.'
step vsix "$sources $(hash_of README.md CHANGELOG.md LICENSE .vscodeignore media l10n)" dist/turntable.vsix package_vsix || stop vsix 'vsce says why above.'

# Chromium came with the apt packages, where it is wanted.
if at_least editor && [ -f test/extension/install.sh ]; then
    step editor "$(hash_of test/extension/install.sh test/extension/package-lock.json)" test/extension/node_modules \
        sh test/extension/install.sh --without-chromium || stop editor 'Its last lines above say why.'
fi
