# Steps with names, for .ci/run and .ci/long. A script defines its steps in order, each as
#
#     step NAME "what it shows"
#     step_NAME() { …; }
#
# and ends with `main "$@"`.

# Nothing is edited between two builds of a gate, and what cargo keeps to build edited crates faster is as large as the
# crates themselves, once for every set of features.
export CARGO_INCREMENTAL=0

names=()
declare -A titles=()

step() {
    names+=("$1")
    titles[$1]=$2
}

heading() {
    printf '\n=== %s (after %d s)\n' "$*" "$SECONDS"
}

# tool NAME VERSION [OPTION...]: installs a cargo tool at the version that the scripts were written for, unless it is
# there.
tool() {
    local name=$1 version=$2
    shift 2
    if ! cargo install --list | grep -q "^$name v$version:"; then
        heading "install $name $version"
        cargo install --locked --quiet "$@" "$name@$version"
    fi
}

# The nightly toolchain builds the fuzz targets. A dated one cannot be pinned where nothing can be downloaded, so the
# version is checked instead: at least the one with which the targets were last seen to build.
nightly() {
    local oldest=2026-05-19 version date
    version=$(rustc +nightly --version) || { echo "the fuzz targets need a nightly toolchain: rustup toolchain install nightly"; exit 1; }
    echo "nightly: $version"
    date=$(grep -oE '[0-9]{4}-[0-9]{2}-[0-9]{2}' <<<"$version") || { echo "this nightly does not tell its date"; exit 1; }
    [[ ! $date < $oldest ]] || { echo "this nightly is older than $oldest: rustup update nightly"; exit 1; }
}

# room GIB: says how much disk space a whole run has, and fails unless it is so much. What earlier builds left counts,
# since this run takes its place. A linker that runs out of space names a file and not the reason.
room() {
    local needed=$1 free built
    free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
    built=$( (du -sk target fuzz/target 2>/dev/null || true) | awk '{ kib += $1 } END { print int(kib / 1048576) }')
    echo "disk: $free GiB are free, and builds have left $built GiB; a whole run needs $needed GiB"
    if ((free + built < needed)); then
        echo "too little disk space for a whole run: make $((needed - free - built)) GiB free where $PWD is" >&2
        exit 1
    fi
}

usage() {
    printf 'usage: %s [--list | STEP...]\n' "$0"
}

main() {
    local name chosen=("$@")
    case ${1:-} in
        --list)
            for name in "${names[@]}"; do printf '%-14s %s\n' "$name" "${titles[$name]}"; done
            return
            ;;
        -h | --help)
            usage
            return
            ;;
        "")
            chosen=("${names[@]}")
            [ -z "${room_gib:-}" ] || room "$room_gib"
            ;;
    esac
    for name in "${chosen[@]}"; do
        [ -n "${titles[$name]:-}" ] || { echo "no step is called $name; $0 --list names them" >&2; usage >&2; exit 2; }
    done
    for name in "${chosen[@]}"; do
        heading "$name: ${titles[$name]}"
        "step_$name"
    done
    printf '\n=== all is well (after %d s)\n' "$SECONDS"
}
