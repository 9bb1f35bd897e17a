#!/bin/sh
# npm test: sets up what the asked suites need, then runs them (test/run.mjs; see there for the arguments).
set -eu

cd "$(dirname "$0")/../.."
target=test
case "$*" in
    *extension* | '') ;;
    *) target=runtime ;;
esac
sh host-helper/setup/setup.sh "$target"
PATH=$PWD/node_modules/.bin:$PATH
export PATH
exec node test/run.mjs "$@"
