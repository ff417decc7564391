#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the language spec under stock Lua and, given its path, under corun: in the main chunk, in a
# task and in user coroutines; compares the results line by line. Runs the examples of docs/lua.md.
# usage: tests/language/run.sh [path to corun]   (LUA=... chooses another stock interpreter)
# Prints "N passed, N failed" last; the exit status is 0 if none failed.

set -u
lua=$(command -v "${LUA:-lua5.4}") || { echo "run.sh: ${LUA:-lua5.4} not found" >&2; exit 2; }
corun=
if [ $# -gt 0 ]; then
  corun=$(cd "$(dirname "$1")" && pwd)/$(basename "$1") || exit 2
  [ -x "$corun" ] || { echo "run.sh: no such program: $1" >&2; exit 2; }
fi
cd "$(dirname "$0")" || exit 2
out=$(mktemp -d) || exit 2
trap 'rm -rf "$out"' EXIT
trap 'exit 129' HUP INT TERM
unset LUA_INIT LUA_INIT_5_4 LUA_PATH LUA_PATH_5_4 LUA_CPATH LUA_CPATH_5_4

limit=
if command -v timeout >/dev/null; then limit="timeout ${LANGUAGE_TIMEOUT:-300}"; fi

# run NAME INTERPRETER SCRIPT ARGUMENT ...
run() {
  name=$1 interpreter=$2
  shift 2
  LANGUAGE_INTERPRETER=$interpreter $limit "$interpreter" "$@" \
    </dev/null >"$out/$name.out" 2>"$out/$name.err"
  echo $? >"$out/$name.status"
}

run lua-main "$lua" main.lua main
run lua-coroutine "$lua" main.lua coroutine
run lua-examples "$lua" examples.lua ../../docs/lua.md
set -- lua-main=lua-main lua-coroutine=lua-coroutine lua-examples=lua-examples
if [ -n "$corun" ]; then
  run corun-main "$corun" main.lua main
  run corun-task "$corun" main.lua task
  run corun-coroutine "$corun" main.lua coroutine
  run corun-examples "$corun" examples.lua ../../docs/lua.md corun
  set -- "$@" corun-main=lua-main corun-task=lua-main corun-coroutine=lua-coroutine \
    corun-examples=corun-examples
fi
"$lua" compare.lua "$out" "$@"
