#!/bin/sh
# Writes the hashed lock files anew. Pins stay where pyproject.toml still allows them;
# `requirements/lock.sh --upgrade` moves them to the newest, `--upgrade-package NAME` moves one.
set -eu
cd "$(dirname "$0")/.."

lock() {
    target=$1
    shift
    uv pip compile "$@" --output-file "requirements/$target.txt" \
        --universal --python-version 3.11 --generate-hashes \
        --no-header --no-emit-index-url --no-emit-find-links --annotation-style line --quiet
}

without_torch="--no-emit-package torch --excludes requirements/excludes.txt"

lock cpu pyproject.toml --extra cpu --extra postgres "$@"
lock gpu pyproject.toml --extra gpu --extra postgres "$@"
# shellcheck disable=SC2086  # several words are meant
lock train pyproject.toml --extra cpu --extra postgres --extra train $without_torch "$@"
# shellcheck disable=SC2086
lock dev pyproject.toml --extra cpu --extra postgres --extra train --extra dev $without_torch "$@"
lock build requirements/build.in "$@"
