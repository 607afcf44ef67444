#!/usr/bin/env bash
# Leaves a PgBouncer in target/pgbouncer for the tests that stand one before Postgres: 1.21 or newer, the first that
# carries prepared statements in transaction mode. Debian 12 has an older one, so the next release's source is built.
# Works on Debian, as root or as a user that may sudo; takes less than a minute.
set -euo pipefail
cd "$(dirname "$0")/../.."

suite=trixie
target=$PWD/target/pgbouncer

recent() { # whether the program is there and new enough
    local version
    version=$("$1" --version 2>/dev/null | sed -n 's/^PgBouncer \([0-9.]*\).*/\1/p')
    [ -n "$version" ] && printf '1.21\n%s\n' "$version" | sort -CV
}
if recent pgbouncer || recent "$target/pgbouncer"; then exit; fi

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
if ! pkg-config --exists libevent 2>/dev/null || ! command -v make >/dev/null; then
    as_root apt-get update
    DEBIAN_FRONTEND=noninteractive as_root apt-get install -y --no-install-recommends \
        gcc libc6-dev libevent-dev make pkg-config
fi

# From where this machine has its own packages, signed by Debian as they are. Its own lists stay as they are.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists,cache,source}/partial
keys=/usr/share/keyrings/debian-archive-keyring.gpg
release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
places() { apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 'Component: main'; }
test -n "$(places)" || as_root apt-get update # an image without lists knows of no place yet
places | sed -n "s|^$release \(.*\)|deb-src [signed-by=$keys] \1 $suite main|p" | head -1 >"$work/sources.list"
test -s "$work/sources.list" || { echo "PgBouncer cannot be had: this machine has no Debian packages to go by" >&2; exit 1; }
cd "$work/source"
apt=(apt-get -qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=)
"${apt[@]}" update
"${apt[@]}" source --download-only pgbouncer
tar --extract --strip-components 1 --file ./*.orig.tar.*
./configure --quiet --without-openssl
make --silent --jobs "$(nproc)" pgbouncer >/dev/null
install -D pgbouncer "$target/pgbouncer"
"$target/pgbouncer" --version | head -1
