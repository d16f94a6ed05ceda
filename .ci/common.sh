# Steps with names, for .ci/run and .ci/long. A script defines its steps in order, each as
#
#     step NAME "what it shows"
#     step_NAME() { …; }
#
# and ends with `main "$@"`.

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
        "") chosen=("${names[@]}") ;;
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
