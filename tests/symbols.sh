#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tests/symbols.sh exports BUILD_FOLDER [LIBLUA.SO] | state BUILD_FOLDER: whether the linker made of
# the rules what they mean.
#   exports  C modules find the whole of Lua's API in the program and in libcorun, and nothing that is
#            not public; the functions for programs that embed corun are in libcorun alone
#   state    there is no writable static variable outside the one file of core that may have one, and
#            the tables of OpenSSL's and libpsl's functions, its list and the trust store, each set once;
#            simdjson's header has one for a log that nobody switches on, in unoptimised builds
set -euo pipefail
build=$2

symbols() { nm -D --defined-only "$1" | awk '{ sub(/@.*/, "", $3); print $3 }' | sort -u; }

# tell WHAT NAMES: one line for each name; false if there is any.
tell() {
  [ -z "$2" ] || awk -v what="$1" '{ print what ": " $0 }' <<<"$2"
  [ -z "$2" ]
}

# declared LINES: the functions that such lines of the header declare.
declared() { sed -nE "/$1/!d; /^static/d; s/^[^/#]*[ *](corun_[a-z0-9_]+)\(.*/\1/p" include/corun.h; }

# published KINDS: those that were declared when interface 1 was published.
published() {
  sed -nE "s/^($1)\((corun_[a-z_]+),.*/\2/p" tests/unit/test_embed_abi.c | grep -vx corun_checkabi
}

# check FILE LIBLUA.SO FUNCTIONS: what the file exports.
check() {
  local seen wanted stray status=0
  seen=$(symbols "$1")
  # glibc copies a few of its variables into a program that uses them; versions are symbols too.
  stray=$(grep -vE '^((lua|luaL|corun)_|_*environ$|in6addr_|std(in|out|err)$|[A-Z0-9]+_[0-9.]+$)' <<<"$seen" |
    grep -vxE 'luaopen_(base|coroutine|debug|io|math|os|package|string|table|utf8)' || true)
  tell "exported by ${1##*/}, but not public" "$stray" || status=1
  wanted=$(
    printf '%s\n' lua_callk lua_yieldk luaL_newstate luaL_traceback luaopen_utf8 "$3"
    if [ -f "$2" ]; then symbols "$2" | grep '^lua'; fi
  )
  tell "not exported by ${1##*/}" \
    "$(sort -u <<<"$wanted" | grep -vxF -f <(printf '%s\n' "$seen") || true)" || status=1
  return $status
}

exports() {
  local status=0
  check "$build/corun" "$1" "$(declared '^CORUN_API' && published EXTENSION)" || status=1
  if [ -f "$build/libcorun.so" ]; then
    check "$build/libcorun.so" "$1" "$(declared . && published 'EXTENSION|HOST')" || status=1
  fi
  return $status
}

state() {
  local library found=
  for library in "$build"/libcorun_*.a; do
    found+=$(objdump -t "$library" | awk -v library="${library##*/}" '
      / file format /{ object = $1; sub(/:$/, "", object) }
      NF > 4 && $(NF - 2) ~ /^\.(data|bss|tdata|tbss)(\.|$)/ &&
        $(NF - 2) !~ /^\.data\.rel\.ro/ && $(NF - 1) !~ /^0+$/ && $NF !~ /^_ZN8simdjson/ {
        where = library " " object
        if (where != "libcorun_core.a host.c.o" && where != "libcorun_data.a json_late.c.o" &&
          where != "libcorun_base.a openssl.c.o" && where != "libcorun_base.a openssl_tls.c.o" &&
          where != "libcorun_net.a trust.c.o" && where != "libcorun_http.a public_suffix.c.o")
          print where " " $NF
      }')
  done
  tell 'writable static variable' "$found"
}

case $1 in
exports) exports "${3:-}" ;;
state) state ;;
esac
