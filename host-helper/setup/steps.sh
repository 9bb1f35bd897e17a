# Shared by the set-up scripts: how a step is run, timed, skipped and reported. Sourced, never run; knows no step itself.
# The caller has changed to the project's root. Stamps live in .cache/setup (git-ignored): deleting it redoes everything.

stamps=.cache/setup
mkdir -p "$stamps"

# As root: directly, or through sudo. A machine with neither gets a message that names the command to run.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "This needs root and there is no sudo. As root, run: $*" >&2
        return 1
    fi
}

# One hash over the contents of files and directories (build outputs below them left out). Missing ones count as empty.
hash_of() {
    for path in "$@"; do
        [ ! -e "$path" ] || find "$path" \( -name node_modules -o -name '*.o' -o -name '*.tsbuildinfo' -o -name '*.skel.h' -o -name vmlinux.h \) -prune -o -type f -print
    done | LC_ALL=C sort | tr '\n' '\0' | xargs -0 -r sha256sum | sha256sum | cut -d' ' -f1
}

tenths() { echo $(($(date +%s%N) / 100000000)); }

# Whether a command that ended well also left what it is there for.
step_made() {
    [ "$1" = - ] || [ -e "$1" ] || {
        echo "it ended well and yet there is no $1" >>"$step_stamp.log"
        return 1
    }
}

# step NAME KEY OUTPUT COMMAND…
# Runs COMMAND unless it already succeeded for this KEY and its OUTPUT (a path, or - for none) is still there.
# Prints one line; the command's own output goes to a log, whose end is shown when it fails.
step() {
    step_name=$1 step_key=$2 step_output=$3
    shift 3
    step_stamp=$stamps/$step_name
    if [ -f "$step_stamp" ] && [ "$(cat "$step_stamp")" = "$step_key" ] && { [ "$step_output" = - ] || [ -e "$step_output" ]; }; then
        return 0
    fi
    line_start=
    if [ -t 1 ]; then
        printf '%-10s …' "$step_name"
        line_start='\r'
    fi
    step_start=$(tenths)
    rm -f "$step_stamp"
    if "$@" >"$step_stamp.log" 2>&1 </dev/null && step_made "$step_output"; then
        step_took=$(($(tenths) - step_start))
        # A command may say in a line what it did: the last one that starts with "= ".
        step_said=$(sed -n 's/^= //p' "$step_stamp.log" | tail -n 1)
        printf "$line_start"'%-10s %4d.%d s  %s\n' "$step_name" $((step_took / 10)) $((step_took % 10)) "$step_said"
        echo "$step_key" >"$step_stamp"
    else
        step_code=$?
        printf "$line_start"'%-10s failed (exit code %d). The end of %s:\n' "$step_name" "$step_code" "$step_stamp.log" >&2
        tail -n 30 "$step_stamp.log" | sed 's/^/    /' >&2
        return "$step_code"
    fi
}
