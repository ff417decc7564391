# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the tools share; sourced by them. Goes to the root of the tree, and offers: build, suite and
# its parts, count, finish. Every test counts in the two variables passed and failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
cache=${CORUN_CACHE:-${XDG_CACHE_HOME:-${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}/.cache}/corun}
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
passed=0 failed=0
export CORUN_CACHE=$cache
trap 'printf "%s: line %s failed\n" "$0" "$LINENO" >&2' ERR

say() { printf '%s\n' "$*" >&2; }

die() {
  say "$(basename "$0"): $*"
  exit 1
}

# count PASSED FAILED WHAT: add to the totals, and say so.
count() {
  passed=$((passed + $1)) failed=$((failed + $2))
  if [ "$2" -gt 0 ]; then
    printf 'not ok: %s: %s passed, %s failed\n' "$3" "$1" "$2"
  else
    printf 'ok: %s: %s passed\n' "$3" "$1"
  fi
}

# add LOG WHAT STATUS: count what another tool's last line "N passed, N failed" says. A tool that
# ended badly and counted no failure has failed once more.
add() {
  local line p=0 f=0
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$1" | tail -n 1 || true)
  if [ -n "$line" ]; then
    p=${line%% *} f=${line#*, } f=${f%% *}
  elif [ "$3" -eq 0 ]; then
    say "$2: no line that counts the tests"
    f=1
  fi
  if [ "$3" -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
  count "$p" "$f" "$2"
}

# finish: the last line of a tool, and its exit status.
finish() {
  if [ $((passed + failed)) -eq 0 ]; then
    say 'no test was run'
    failed=1
  fi
  printf '%s passed, %s failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ]
}

# build FOLDER [CMAKE OPTIONS]: configure and build; silent unless it fails.
build() {
  local dir=$1 log=$1/build.log start=$SECONDS
  shift
  mkdir -p "$dir"
  say "building in $dir ..."
  local generator=()
  if command -v ninja >/dev/null && ! [ -f "$dir/Makefile" ]; then generator=(-G Ninja); fi
  if ! cmake -S . -B "$dir" ${generator[@]+"${generator[@]}"} ${CI:+-DCORUN_WERROR=ON} "$@" \
    >"$log" 2>&1 || ! cmake --build "$dir" --parallel "$cores" ${target:+--target "$target"} \
    >>"$log" 2>&1; then
    grep -vE '^(-- |\[[0-9]+/[0-9]+\] (Building|Linking|Compiling))' "$log" | tail -n 60 >&2
    say "building in $dir failed (the whole output is in $log)"
    return 1
  fi
  if grep -q 'warning:' "$log"; then grep -A 5 'warning:' "$log" >&2; fi
  say "built in $((SECONDS - start)) s"
}

# release: the release build, in build/. The first time it is built twice: to measure the program on
# tools/train.lua, and to optimise it by what was measured. `rm build/profile` measures anew.
release() {
  if ! [ -f build/profile ]; then
    find build -name '*.gcda' -delete 2>/dev/null || true
    target=corun build build -DCORUN_PROFILE=generate || return
    build/corun tools/train.lua >build/train.log 2>&1 </dev/null || {
      tail -n 20 build/train.log >&2
      say 'the program failed on tools/train.lua'
      return 1
    }
    touch build/profile
  fi
  build build -DCORUN_PROFILE=use
}

# limited SECONDS COMMAND...: with a time limit, and without standard input.
limited() {
  local seconds=$1
  shift
  if [ -t 2 ]; then
    timeout --foreground -k 10 "$seconds" "$@" </dev/null
  else
    timeout -k 10 "$seconds" "$@" </dev/null
  fi
}

# Sanitizers speak once and clearly; an allocation that is too large fails instead of ending all.
export ASAN_OPTIONS=${ASAN_OPTIONS:-allocator_may_return_null=1:detect_stack_use_after_return=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1:allocator_may_return_null=1}

# unit_tests FOLDER: the C tests, counted by what cmocka says of each.
unit_tests() {
  local dir=$1 log=$1/unit.log status=0 counts
  [ -n "$(ls "$dir/unit" 2>/dev/null)" ] || return 0
  (cd "$dir" && limited 900 ctest -V --parallel "$cores") >"$log" 2>&1 || status=$?
  counts=$(awk '
    match($0, /^[0-9]+: /) {
      test = substr($0, 1, RLENGTH - 2); line = substr($0, RLENGTH + 1)
      if (line ~ /^\[  PASSED  \] [0-9]+ test/) { split(line, w, " "); p += w[4]; fine[test] = 1 }
      if (line ~ /^\[  FAILED  \] [0-9]+ test/) { split(line, w, " "); f += w[4]; told[test] = 1 }
      next
    }
    /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
      test = $0; sub(/^[^#]*#/, "", test); sub(/:.*/, "", test)
      if ($0 !~ / Passed +[0-9.]+ sec$/) bad[test] = 1; else if (!(test in fine)) p++
    }
    END { for (t in bad) if (!(t in told)) f++; print p + 0, f + 0 }' "$log")
  if [ "$status" -ne 0 ]; then
    grep -E '^[0-9]+: |Failed|Timeout|Exception' "$log" |
      grep -vE ': (\[ *(OK|RUN|=+|PASSED) *\]|Test (command|timeout)|Working Dir)' | tail -n 80 >&2
    if [ "${counts#* }" -eq 0 ]; then counts="${counts% *} 1"; fi
  fi
  count "${counts% *}" "${counts#* }" 'unit tests'
}

# specs FOLDER WHAT [ARGUMENTS]: busted inside the program of that folder. In CI a pending test
# (a peer that is not installed) has failed.
specs() {
  local dir=$1 what=$2 status=0 line p=0 f=0 e=0 n=0
  local log
  shift 2
  log=$dir/$(printf '%s' "$what" | tr -c 'a-zA-Z0-9\n' '-').log
  # the servers of the specs are reached without a proxy
  http_proxy='' https_proxy='' HTTPS_PROXY='' all_proxy='' ALL_PROXY='' \
    CORUN=$root/$dir/corun CORUN_BUILD=$root/$dir LUA_CPATH_5_4="$root/$dir/ext/?.so;;" \
    limited "${CORUN_SPEC_LIMIT:-900}" "$dir/corun" test -o plainTerminal "$@" >"$log" 2>&1 ||
    status=$?
  line=$(grep -E '^[0-9]+ success(es)? / [0-9]+ failures? / [0-9]+ errors? / [0-9]+ pending' "$log" |
    tail -n 1 || true)
  if [ -n "$line" ]; then
    read -r p _ _ f _ _ e _ _ n _ <<<"$line"
    f=$((f + e))
    if [ "$n" -gt 0 ]; then
      grep -A 3 '^Pending' "$log" >&2 || true
      if [ -n "${CI:-}" ]; then f=$((f + n)); fi
    fi
  fi
  if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
    say "$what: ended with status $status$([ "$status" -ne 124 ] || echo ', too slow')"
    f=1
  fi
  if [ "$f" -gt 0 ]; then tail -n 200 "$log" | grep -vE '^[-+*.]+$' >&2 || true; fi
  count "$p" "$f" "$what"
}

# language FOLDER: the language spec, under the stock interpreter and under ours.
language() {
  local log=$1/language.log status=0
  [ -x tests/language/run.sh ] || return 0
  limited 900 tests/language/run.sh "$1/corun" >"$log" 2>&1 || status=$?
  if [ "$status" -ne 0 ]; then tail -n 60 "$log" >&2; fi
  add "$log" 'language spec' "$status"
}

# abreast N FOLDER FUNCTION ARGUMENT...: `FUNCTION ARGUMENT` for each argument, N at once. What they
# say is kept in FOLDER until all have ended, then shown and counted in order. No two of them give
# the same port to what they start: PORTS_OF is another for each (tests/spec/support/free_port.lua).
abreast() {
  local n=$1 logs=$2 what=$3 one ports=0
  shift 3
  mkdir -p "$logs"
  for one in "$@"; do
    while [ "$(jobs -rp | wc -l)" -ge "$n" ]; do wait -n || true; done
    (
      passed=0 failed=0
      export PORTS_OF=$((ports % 64))
      "$what" "$one"
      finish
    ) >"$logs/$what-${one//\//-}.out" 2>&1 &
    ports=$((ports + 1))
  done
  wait
  for one in "$@"; do
    grep -vE '^(ok:|[0-9]+ passed)' "$logs/$what-${one//\//-}.out" >&2 || true
    add "$logs/$what-${one//\//-}.out" "$what $one" 0
  done
}

# all_specs FOLDER [ARGUMENTS]: all spec files, in four parts a core, two of them at once on each,
# since they wait for more than half of the time.
all_specs() {
  local dir=$1 parts=$((4 * cores))
  shift
  local arguments=("$@")
  # shellcheck disable=SC2046
  abreast "$((2 * cores))" "$dir" spec_part $(seq "$parts")
}

# spec_part I: the share of the Ith of them; `dir`, `parts` and `arguments` are those of all_specs.
spec_part() {
  local files=() file n=0
  for file in tests/spec/*_spec.lua; do
    if [ $((n++ % parts + 1)) -eq "$1" ]; then files+=("$file"); fi
  done
  specs "$dir" "specs, part $1" ${arguments[@]+"${arguments[@]}"} "${files[@]}"
}

# suite FOLDER [SPEC ARGUMENTS]: all the tests, of one build.
suite() {
  local dir=$1
  shift
  unit_tests "$dir"
  all_specs "$dir" "$@"
  language "$dir"
}
