#!/bin/sh
# npm start: sets up what is missing, then starts the helper and the sample session (host-helper/demo/start.ts).
# With --once no editor is opened, so none is installed; and none is where a desktop VS Code is.
set -eu

cd "$(dirname "$0")/../.."
target=editor
case " $* " in *' --once '*) target=runtime ;; esac
[ "$target" = runtime ] || ! command -v code >/dev/null 2>&1 || [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] || target=runtime

sh host-helper/setup/setup.sh "$target"
PATH=$PWD/node_modules/.bin:$PATH
export PATH
exec node --disable-warning=ExperimentalWarning host-helper/demo/start.ts "$@"
