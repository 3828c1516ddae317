#!/bin/sh
# Installs what the tests run beside Node, where it is missing, from Debian's packages: PostgreSQL, PgBouncer, Redis, OpenSSL for
# their certificates, a Java 17 runtime for DynamoDB Local, curl for the lines that are printed for users, and Chromium
# for what they see.
# Run as root. Silent and quick when everything is there.
set -eu

packages=''
need() { packages="$packages $1"; }

ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || need postgresql
command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || need pgbouncer
command -v redis-server >/dev/null || command -v valkey-server >/dev/null || need redis-server
command -v curl >/dev/null || need curl
command -v openssl >/dev/null || need openssl
command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null || need chromium-headless-shell
command -v java >/dev/null || need openjdk-17-jre-headless
[ -n "$packages" ] || exit 0

# The tests start servers of their own: nothing is to start with the machine, or to take the well-known ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $packages >/dev/null
