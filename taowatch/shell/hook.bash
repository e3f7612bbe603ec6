# shellcheck shell=bash
# taowatch's hook for bash (4.4 and newer), for: eval "$(taowatch hook bash)"
#
# At a prompt where nothing changed it runs builtins only and forks nothing. It sets no trap, no option and no alias, and
# touches no names but its own (__taowatch_*) and the variables of an allowed project.

__taowatch_snippets=@SNIPPETS@
__taowatch_runtime=@RUNTIME@

__taowatch_hook() {
  local __taowatch_status=$? __taowatch_now=
  # Which generation of projects the shell has seen; `read` from a file is a builtin, unlike cat.
  if [[ -f $__taowatch_snippets/generation ]]; then
    builtin read -r __taowatch_now <"$__taowatch_snippets/generation" || builtin :
  fi
  if [[ $PWD != "${__taowatch_pwd-}" || $__taowatch_now != "${__taowatch_generation-}" ]]; then
    __taowatch_pwd=$PWD
    __taowatch_generation=$__taowatch_now
    __taowatch_move
  fi
  if [[ -f $__taowatch_runtime/alert.bash ]]; then
    __taowatch_warn
  elif [[ -n ${__taowatch_alert_shown-} ]]; then
    __taowatch_alert_shown=
    builtin printf 'taowatch: the conflict is over\n' >&2
  fi
  builtin return "$__taowatch_status"
}

# The nearest project at or above the working directory, if another than before.
__taowatch_move() {
  local IFS=' ' directory=$PWD found=
  while builtin :; do
    if [[ -f $__taowatch_snippets${directory//\//\/=}/env.bash ]]; then
      found=$__taowatch_snippets${directory//\//\/=}/env.bash
      builtin break
    fi
    [[ -n $directory && $directory != / ]] || builtin break
    directory=${directory%/*}
  done
  if [[ -z $found ]]; then
    __taowatch_leave
    builtin return 0
  fi
  if [[ "$found $__taowatch_generation" != "${__taowatch_snippet-}" ]]; then
    __taowatch_leave
    __taowatch_snippet="$found $__taowatch_generation"
    # shellcheck disable=SC1090 # written by taowatch: one call of __taowatch_enter with literal words
    builtin source "$found" || builtin :
  fi
}

# __taowatch_enter DIRECTORY PROJECT [NAME VALUE]...
__taowatch_enter() {
  local count=$((($# - 2) / 2)) directory=$1 project=$2
  builtin shift 2
  __taowatch_set TAOWATCH_PROJECT "$directory"
  while (($# > 1)); do
    __taowatch_set "$1" "$2"
    builtin shift 2
  done
  builtin printf 'taowatch: %q, %d variables\n' "$project" "$count" >&2
}

# Export one variable and remember what stood there: unset, set or exported are three different things.
__taowatch_set() {
  local before
  if [[ -z ${!1+set} ]]; then
    before='unset'
  elif [[ ${!1@a} == *x* ]]; then
    before="exported ${!1}"
  else
    before="set ${!1}"
  fi
  __taowatch_before[$1]=$before
  __taowatch_values[$1]=$2
  builtin export "$1=$2"
}

# Take back what was set, where it still has the value that was set; what the user changed since is theirs.
__taowatch_leave() {
  local name before
  for name in "${!__taowatch_values[@]}"; do
    [[ ${!name-} == "${__taowatch_values[$name]}" && -n ${!name+set} ]] || builtin continue
    before=${__taowatch_before[$name]}
    builtin unset -v "$name"
    case $before in
      exported\ *) builtin export "$name=${before#exported }" ;;
      set\ *) builtin printf -v "$name" %s "${before#set }" ;;
    esac
  done
  __taowatch_values=()
  __taowatch_before=()
  __taowatch_snippet=
}

# Say an alert once in each shell.
__taowatch_warn() {
  local __taowatch_alert_id='' __taowatch_alert=''
  # shellcheck disable=SC1091 # written by the daemon: two assignments of literals
  builtin source "$__taowatch_runtime/alert.bash" || builtin :
  if [[ -n $__taowatch_alert_id && $__taowatch_alert_id != "${__taowatch_alert_shown-}" ]]; then
    __taowatch_alert_shown=$__taowatch_alert_id
    builtin printf 'taowatch: %s\n' "$__taowatch_alert" >&2
  fi
}

if [[ $- == *i* && -z ${__taowatch_hooked-} ]]; then
  __taowatch_hooked=1
  builtin declare -A __taowatch_values __taowatch_before
  if [[ $(builtin declare -p PROMPT_COMMAND 2>/dev/null) == "declare -a"* ]]; then
    PROMPT_COMMAND=(__taowatch_hook "${PROMPT_COMMAND[@]}")
  else
    # shellcheck disable=SC2128,SC2178 # a string here, as the test above tells
    PROMPT_COMMAND="__taowatch_hook${PROMPT_COMMAND:+;$PROMPT_COMMAND}"
  fi
fi
