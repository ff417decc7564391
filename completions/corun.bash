# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Completion of corun for bash: options, subcommands, scripts. Needs no package of completions.

# Offer the words that begin like the one under the cursor.
_corun_words() {
  mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
  case ${COMPREPLY[0]-} in *=) compopt -o nospace ;; esac
}

# Offer folders, and the files that end in .lua.
_corun_scripts() {
  mapfile -t COMPREPLY < <(compgen -f -X '!*.lua' -- "$1"; compgen -d -- "$1")
  compopt -o filenames
}

# Set command to the script or subcommand before the cursor, and place to its position.
_corun_command() {
  for ((place = 1; place < COMP_CWORD; place++)); do
    command=${COMP_WORDS[place]}
    case $command in
    -e | -l) place=$((place + 1)) ;;
    --timeout | --grace | --threads)
      place=$((place + 1))
      if [[ ${COMP_WORDS[place]-} == = ]]; then place=$((place + 1)); fi
      ;;
    --)
      place=$((place + 1))
      command=${COMP_WORDS[place]-}
      break
      ;;
    -?*) ;;
    *) break ;;
    esac
    command=
  done
  if [[ $place -ge $COMP_CWORD ]]; then command=; fi
}

_corun_first() {
  case $before in
  -e | -l | --timeout | --grace | --threads) return ;;
  esac
  if [[ $word == -* ]]; then
    _corun_words '-e -l --timeout --grace --threads --dev --stats -v --version -h --help --' "$word"
  else
    _corun_scripts "$word"
    mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W 'run test build new' -- "$word")
  fi
}

_corun_build() {
  case $before in
  -o | --output | --program)
    compopt -o default
    return
    ;;
  --include | --exclude) return ;;
  esac
  if [[ $word == -* ]]; then
    _corun_words '-o --output= --include= --exclude= --program= -h --help' "$word"
  else
    _corun_scripts "$word"
  fi
}

_corun_new() {
  case $((COMP_CWORD - place)) in
  1) _corun_words ext "$word" ;;
  3)
    mapfile -t COMPREPLY < <(compgen -d -- "$word")
    compopt -o filenames
    ;;
  esac
}

_corun() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command='' place
  COMPREPLY=()
  if [[ $word == = ]]; then
    word=
  elif [[ $before == = ]]; then
    before=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  _corun_command
  case $command in
  '') _corun_first ;;
  build) _corun_build ;;
  new) _corun_new ;;
  run | test)
    if [[ $command == run && $((COMP_CWORD - place)) -gt 1 ]]; then
      compopt -o default
    else
      _corun_scripts "$word"
    fi
    ;;
  *) compopt -o default ;;
  esac
}

complete -F _corun corun
