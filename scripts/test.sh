#!/bin/sh
# Everything that has to hold before a change goes in: formatting, lints, licences, build, all tests. `make test` runs it
# after scripts/setup.sh and scripts/guest.sh.
#
#   scripts/test.sh            all of it
#   scripts/test.sh FILTER...  only the tests, with these words for the test runner
#
# The tests run in a box of their own (network, mount and pid namespaces; for an ordinary user also a user namespace):
# they are root in there, reach nothing outside, and whatever they leave running ends with the box.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/target/tools/bin:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH
began=$(date +%s)
logs=$PWD/target/test-logs
mkdir -p "$logs"

step() { echo "==> $* ($(($(date +%s) - began)) s)" >&2; }
fail() { echo "make test: FAILED: $*" >&2; exit 1; }

# Serial where a crate's integration tests want the machine for themselves; .config/nextest.toml has the same list.
heavy="agent controller guest ipsec lab measure openvpn ovs qmp transhume watchdog wireguard xtr"

# Everything is built and tested with what is optional; what is without it has to build too.
with="--features transhume/libvirt"

boxed() {
    user=
    [ "$(id -u)" = 0 ] || user="--user --map-root-user"
    unshare $user --net --mount --pid --fork --kill-child --mount-proc --propagation private sh -c '
        mount -t tmpfs tmpfs /run && mkdir -p /run/netns ${XDG_RUNTIME_DIR:+"$XDG_RUNTIME_DIR"} && ip link set lo up || exit 1
        exec "$@"' box "$@"
}

# Runs a command, keeps its output in $logs/$1 and shows it.
logged() {
    name=$1
    shift
    { "$@" 2>&1 && echo 0 >"$logs/$name.status" || echo $? >"$logs/$name.status"; } | tee "$logs/$name"
    return "$(cat "$logs/$name.status")"
}

run_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --workspace $with --locked --offline --no-run --cargo-quiet || return 1
        logged tests boxed cargo nextest run --workspace $with --locked --offline --cargo-quiet "$@" || return 1
        sed -n 's/.* \([0-9]*\) tests\{0,1\} run: .*/\1/p' "$logs/tests" | tail -n 1 >"$logs/count"
    else
        # cargo test runs one binary after another, and in the heavy crates one test after another.
        cargo test --workspace $with --locked --offline --no-run --quiet || return 1
        excluded= selected=
        for crate in $heavy; do
            excluded="$excluded --exclude $crate" selected="$selected --package $crate"
        done
        logged tests boxed cargo test --workspace $with --locked --offline --quiet --tests --no-fail-fast $excluded "$@" || return 1
        logged tests-heavy boxed cargo test $with --locked --offline --quiet --tests --no-fail-fast $selected "$@" -- --test-threads=1 || return 1
        cat "$logs/tests" "$logs/tests-heavy" | sed -n 's/^test result: .* \([0-9]*\) passed.*/\1/p' | awk '{ n += $1 } END { print n + 0 }' >"$logs/count"
    fi
}

if [ $# -gt 0 ]; then
    run_tests "$@"
    exit
fi

failures=
also() { echo "make test: failed: $*" >&2; failures="$failures; $*"; }

step "formatting"
cargo fmt --all --check -- -l || also "formatting of the files above, run \`make fmt\`"
step "licences, bans, sources (cargo deny)"
cargo deny --log-level error check licenses bans sources || also "cargo deny, deny.toml says what may be in the tree"
step "lints (clippy, warnings are errors)"
cargo clippy --workspace $with --all-targets --locked --quiet --keep-going -- -D warnings || also "clippy"
cargo clippy --package agent --package transhume --all-targets --locked --quiet --keep-going -- -D warnings || also "clippy without libvirt"
step "build"
cargo build --workspace $with --bins --locked --quiet || fail "the build$failures"
step "tests"
run_tests || also "tests, all they said is in target/test-logs"
step "examples in the documentation"
logged doc-tests cargo test --workspace $with --doc --locked --offline --quiet || also "examples in the documentation"
[ -z "$failures" ] || fail "${failures#; }"
docs=$(sed -n 's/^test result: .* \([0-9]*\) passed.*/\1/p' "$logs/doc-tests" | awk '{ n += $1 } END { print n + 0 }')
echo "make test: passed: $(cat "$logs/count") tests, $docs documentation examples, formatting, clippy, cargo deny; $(($(date +%s) - began)) s" >&2
