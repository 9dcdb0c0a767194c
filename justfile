# `just` lists the commands; each is a line you may also type yourself.

default:
    @just --list

# Type-check everything
check:
    cargo check --workspace --all-targets

# All tests, as CI runs them
test *args:
    ./test {{args}}

# The tests of one crate, e.g. `just t frontier`, with the services that some talk to
t crate *args:
    scripts/services run -- cargo test -p gleaner-{{crate}} {{args}}

# Formatting and lints, warnings denied
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Run the program, e.g. `just run demo`
run *args:
    cargo run --release -- {{args}}

# A benchmark workload, e.g. `just bench extract ./site`
bench *args:
    cargo run --release -- bench {{args}}

# Exactly what CI runs
ci:
    .ci/run
