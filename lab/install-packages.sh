#!/bin/sh
# Install the Debian packages of packages.txt that this host lacks, and say which. Does nothing when all are there.
set -eu
list=$(sed 's/#.*//' "$(dirname "$0")/packages.txt")
command -v apt-get >/dev/null || { echo "the lab needs a Debian host with:" $list >&2; exit 1; }

missing=""
for package in $list; do
    dpkg-query --show --showformat='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "== installing Debian packages:$missing"
as_root=""
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "there is no sudo here: run 'make packages' as root first" >&2; exit 1; }
    as_root="sudo"
fi
$as_root apt-get -o DPkg::Lock::Timeout=300 update --quiet=2
$as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -o DPkg::Lock::Timeout=300 install --quiet=2 --yes --no-install-recommends $missing
