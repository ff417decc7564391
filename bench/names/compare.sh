#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# bench/names/compare.sh [NAMES]: look names up at once whose server answers after 100 ms: corun, and
# getaddrinfo on 4, 64 and as many threads as names. getaddrinfo asks port 53 alone, so all runs in
# a network and a mount namespace of its own, where our server is the machine's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
names=${1:-1000} corun=${CORUN:-build/corun}

if [ "${2:-}" != inside ]; then
  work=$(mktemp -d)
  trap 'rm -r "$work"' EXIT
  cc -O2 -pthread -o "$work/threads" bench/names/threads.c
  echo 'nameserver 127.0.0.1' >"$work/resolv.conf"
  FOLDER=$work CORUN=$corun unshare -rmn "$0" "$names" inside
  exit
fi

ip link set lo up
mount --bind "$FOLDER/resolv.conf" /etc/resolv.conf
mkfifo "$FOLDER/in"
python3 tests/fixtures/net/dns_server.py 53 <"$FOLDER/in" >"$FOLDER/log" &
exec 9>"$FOLDER/in" # the server ends with it
until [ -s "$FOLDER/log" ]; do sleep 0.05; done

run() {
  printf '%-28s ' "$1"
  shift
  /usr/bin/time -f '%U s user, %S s system, %M KB' "$@" 2>&1 9>&- | paste -sd' '
}

run corun "$corun" bench/names/names.lua "$names"
for threads in 4 64 "$names"; do
  run "getaddrinfo, $threads threads" "$FOLDER/threads" "$names" "$threads"
done
exec 9>&-
wait
