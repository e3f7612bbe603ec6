# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # it does not know \local, and $ stands in single quotes on purpose
# taowatch's hook for bash (4.4 and newer), for: eval "$(taowatch hook bash)"
#
# At a prompt where nothing changed it runs builtins only and forks nothing. It sets no trap, no option and no alias, and
# touches no names but its own (__taowatch*), TAOWATCH_* and the variables of an allowed project. Habits in here: `test`
# rather than `[[ = ]]`, which nocasematch changes; a backslash or \builtin against aliases and functions; ${x-} against
# nounset; nothing that may fail without `|| :`, against errexit; no NAME=VALUE behind a command, against `set -k`. All
# state is in arrays, which are never exported.
#
# With a variable:    what it holds
# __taowatch          shell, runtime: directories; pwd, at, seen, generation: what the last prompt saw; project: the
#                     directory whose variables are set; found, toml, snippet, content: the nearest project, its files,
#                     and what the first of them held when it was allowed; gone: a nearer one that has none now;
#                     told:*, alert:*, alerts, stamp: what was said already
# __taowatch_values   name -> the value that was set
# __taowatch_before   name -> what stood there: `unset`, `set VALUE` or `exported VALUE`

__taowatch_hook() {
  __taowatch[status]=$?
  # Nothing changed: neither the directory (what remains of it without the one before is nothing: `==` would obey
  # nocasematch), nor which projects are allowed (`at`); the .taowatch.toml of the one here has the time that it had when
  # it was allowed (its snippet has the same); there is and was nothing to tell.
  if [[ -z ${PWD#"${__taowatch[pwd]-}"} && -z ${__taowatch[alerts]-}${__taowatch[gone]-} &&
    -f ${__taowatch[at]-} && ! -f ${__taowatch[alert]-} &&
    (-z ${__taowatch[toml]-} || (! ${__taowatch[toml]-} -nt ${__taowatch[snippet]-} &&
    ! ${__taowatch[toml]-} -ot ${__taowatch[snippet]-})) ]]; then
    \return "${__taowatch[status]}"
  fi
  __taowatch_look
  \return "${__taowatch[status]}"
}

# Something may have changed: see what.
__taowatch_look() {
  [[ -f ${__taowatch[at]-} ]] || __taowatch_read_generation
  if ! \builtin test "$PWD" = "${__taowatch[pwd]-}"; then
    __taowatch_move
  elif [[ -n ${__taowatch[found]-} ]]; then
    __taowatch_compare
  fi
  if [[ -n ${__taowatch[gone]-} && -f ${__taowatch[gone]-}/.taowatch.toml ]]; then
    __taowatch_move
  fi
  if [[ -f ${__taowatch[alert]} ]]; then
    __taowatch_warn
  elif [[ -n ${__taowatch[alerts]-} && -f ${__taowatch[runtime]}/status.json ]]; then
    # A daemon runs and has nothing to tell; without one, nobody knows whether it is over.
    __taowatch_end_alerts ' '
  fi
}

# The name of a file tells at what generation the projects are, so that the idle prompt only has to look for it. Here, the
# new one: VERSION ID. Another version than ours means that taowatch was upgraded under this shell.
__taowatch_read_generation() {
  \local __taowatch_version __taowatch_id
  __taowatch_version='' __taowatch_id=''
  if [[ -f ${__taowatch[shell]}/generation ]]; then
    IFS=' ' \builtin read -r __taowatch_version __taowatch_id <"${__taowatch[shell]}/generation" || \builtin :
  fi
  if ! \builtin test "$__taowatch_version $__taowatch_id" = "${__taowatch[seen]-}"; then
    __taowatch[seen]="$__taowatch_version $__taowatch_id"
    __taowatch[generation]=$__taowatch_id
    __taowatch[at]=${__taowatch[shell]}/at.$__taowatch_id
    __taowatch[pwd]=
    if [[ ${__taowatch_version:-1} != 1 ]]; then
    __taowatch[generation]=
      __taowatch_say_once upgraded 'was upgraded under this shell; for its variables: eval "$(taowatch hook bash)"'
    fi
  fi
}

# The shell is elsewhere, or the projects changed: find the nearest project and make the variables those of it.
__taowatch_move() {
  \local IFS __taowatch_real __taowatch_directory __taowatch_left
  IFS=' ' __taowatch_real='' __taowatch_directory='' __taowatch_left=${__taowatch[project]-}
  __taowatch[pwd]=$PWD
  __taowatch_resolve
  __taowatch_search
  if [[ -n $__taowatch_left ]]; then
    __taowatch_explain
  fi
  if [[ -z ${__taowatch[found]-} ]]; then
    __taowatch_leave
  elif ! \builtin test "${__taowatch[found]} ${__taowatch[generation]-}" = "${__taowatch[entered]-}"; then
    # shellcheck disable=SC1090 # written by taowatch: one call of __taowatch_project with literal words
    \builtin source "${__taowatch[snippet]}" || \builtin :
  else
    __taowatch_compare
  fi
}

# The nearest project at or above __taowatch_real. One whose .taowatch.toml is gone is none, but may come back.
__taowatch_search() {
  __taowatch[found]='' __taowatch[gone]='' __taowatch[toml]='' __taowatch[snippet]=''
  __taowatch_directory=$__taowatch_real
  case ${__taowatch[seen]-} in 1\ *) ;; *) \return 0 ;; esac
  while \builtin :; do
    if [[ -f ${__taowatch[shell]}/tree$__taowatch_directory/=env.sh ]]; then
      if [[ -f $__taowatch_directory/.taowatch.toml ]]; then
        __taowatch[found]=${__taowatch_directory:-/}
        __taowatch[toml]=$__taowatch_directory/.taowatch.toml
        __taowatch[snippet]=${__taowatch[shell]}/tree$__taowatch_directory/=env.sh
        \return 0
      fi
      __taowatch[gone]=${__taowatch[gone]:-${__taowatch_directory:-/}}
    fi
    [[ -n $__taowatch_directory && $__taowatch_directory != / ]] || \return 0
    __taowatch_directory=${__taowatch_directory%/*}
  done
}

# __taowatch_real is where the shell really is. `pwd -P` could only be read with a fork, and `cd` twice costs nothing; not
# where $PWD leads elsewhere by now, as the shell would follow it there.
__taowatch_resolve() {
  \local __taowatch_part __taowatch_pwd __taowatch_oldpwd __taowatch_has_oldpwd
  __taowatch_part=$PWD __taowatch_pwd=$PWD __taowatch_oldpwd=${OLDPWD-} __taowatch_has_oldpwd=${OLDPWD+x}
  __taowatch_real=$PWD
  while [[ -n $__taowatch_part && ! -L $__taowatch_part ]]; do
    __taowatch_part=${__taowatch_part%/*}
  done
  if [[ -n $__taowatch_part && $PWD -ef . ]] && \builtin cd -P . 2>/dev/null; then
    __taowatch_real=$PWD
    \builtin cd -L -- "$__taowatch_pwd" 2>/dev/null || \builtin :
    if [[ -n $__taowatch_has_oldpwd ]]; then OLDPWD=$__taowatch_oldpwd; else \builtin unset -v OLDPWD; fi
  fi
}

# The project that the shell was in is there no more, while the shell still is: say why.
__taowatch_explain() {
  case $__taowatch_real/ in "${__taowatch_left%/}"/*) ;; *) \return 0 ;; esac
  if [[ ! -f ${__taowatch[shell]}/tree$__taowatch_left/=env.sh ]]; then
    case ${__taowatch[seen]-} in 1\ *) ;; *) \return 0 ;; esac
    __taowatch_refuse 'is not allowed any more' allow "$__taowatch_left"
  elif [[ ! -f $__taowatch_left/.taowatch.toml ]]; then
    __taowatch_refuse 'has no .taowatch.toml any more' init "$__taowatch_left"
  fi
}

# __taowatch_refuse REASON COMMAND DIRECTORY: %q, because a directory may be called anything.
__taowatch_refuse() {
  \local __taowatch_quoted
  \builtin printf -v __taowatch_quoted %q "$3"
  __taowatch_say_once "$3" "$__taowatch_quoted $1; to allow it as it is now: taowatch $2 $__taowatch_quoted"
}

# __taowatch_say_once ABOUT TEXT: once in a shell for each generation.
__taowatch_say_once() {
  if ! \builtin test "${__taowatch[generation]-} $2" = "${__taowatch[told:$1]-}"; then
    __taowatch[told:$1]="${__taowatch[generation]-} $2"
    \builtin printf 'taowatch: %s\n' "$2" >&2
  fi
}

# __taowatch_content is the project's .taowatch.toml. All of it, as a checkout may bring it back with another time; it is
# short. Where it cannot be read, `/`, which is no TOML. Read by lines, because `read -d ''` asks the system for each byte.
__taowatch_read_content() {
  \local -a __taowatch_lines
  __taowatch_lines=(/)
  if [[ -f ${__taowatch[toml]} && -r ${__taowatch[toml]} ]]; then
    \builtin mapfile __taowatch_lines <"${__taowatch[toml]}" || \builtin :
  fi
  IFS=
  __taowatch_content="${__taowatch_lines[*]}"
}

# Whether the project is still, or again, the one that was allowed.
__taowatch_compare() {
  \local IFS __taowatch_content
  IFS=' ' __taowatch_content=''
  __taowatch_read_content
  if \builtin test "$__taowatch_content" = "${__taowatch[content]-}"; then
    if [[ -z ${__taowatch[project]-} ]]; then
      __taowatch[entered]='' __taowatch[pwd]=''
      __taowatch_move
    fi
  elif [[ -f ${__taowatch[toml]} ]]; then
    IFS=' '
    __taowatch_leave
    __taowatch_refuse 'changed and is not allowed any more' allow "${__taowatch[found]}"
  else
    __taowatch_move
  fi
}

# __taowatch_project QUIET DIRECTORY PROJECT CONTENT [NAME VALUE NOTE]...: what a snippet says. NOTE is NAME|VALUE| for
# TAOWATCH_STATE.
__taowatch_project() {
  \local __taowatch_quiet __taowatch_directory __taowatch_project __taowatch_count __taowatch_content
  \local __taowatch_state __taowatch_long __taowatch_fixed __taowatch_inherited
  __taowatch_quiet=$1 __taowatch_directory=$2 __taowatch_project=$3 __taowatch_count=$(($# / 3 - 2))
  __taowatch_content='' __taowatch_state='' __taowatch_long='' __taowatch_fixed=''
  __taowatch_inherited=${__taowatch[inherited]-}
  __taowatch[content]=$4
  __taowatch[entered]="${__taowatch[found]} ${__taowatch[generation]-}"
  __taowatch[inherited]=
  __taowatch_leave
  __taowatch_read_content
  IFS=' '
  if ! \builtin test "$__taowatch_content" = "$4"; then
    __taowatch_refuse 'changed and is not allowed any more' allow "$__taowatch_directory"
    \return 0
  fi
  \builtin shift 4
  while (($# > 2)); do
    __taowatch_set "$1" "$2" "$3"
    \builtin shift 3
  done
  __taowatch[project]=$__taowatch_directory
  [[ -n $__taowatch_long ]] || { TAOWATCH_STATE=$__taowatch_state && \builtin export TAOWATCH_STATE; }
  if [[ -n $__taowatch_fixed ]]; then
    \builtin printf 'taowatch: left alone, as this shell has them readonly or typed:%s\n' "$__taowatch_fixed" >&2
  fi
  if [[ -z $__taowatch_quiet && ${TAOWATCH_QUIET:-0} == 0 ]] &&
    ! \builtin test "$__taowatch_inherited" = "$__taowatch_directory"; then
    \builtin printf 'taowatch: %s, %d variables\n' "$__taowatch_project" "$__taowatch_count" >&2
  fi
}

# Export one variable and remember what stood there: unset, set or exported are three different things. One that is
# readonly, an integer, a reference… is the user's own: an assignment would fail, or evaluate the value.
__taowatch_set() {
  \local __taowatch_flags __taowatch_was
  __taowatch_flags='' __taowatch_was=unset
  if [[ -n ${!1+set} ]]; then
    __taowatch_flags=${!1@a}
    if [[ -n ${__taowatch_flags//[xt]/} || -R $1 ]]; then
      __taowatch_fixed+=" $1" __taowatch_count=$((__taowatch_count - 1))
      \return 0
    fi
    __taowatch_was="set ${!1}"
    [[ -z ${__taowatch_flags//[!x]/} ]] || __taowatch_was="exported ${!1}"
  fi
  __taowatch_before[$1]=$__taowatch_was
  __taowatch_values[$1]=$2
  \builtin export "$1=$2"
  __taowatch_note "$3" "$__taowatch_was"
}

# A child shell learns from TAOWATCH_STATE what is ours: name|value that was set|value before, with a `+`, or `-`.
# One string of the environment has a limit (128 KiB), beyond which no command could be started at all.
__taowatch_note() {
  \local __taowatch_encoded
  __taowatch_encoded=-
  if [[ $2 == 'exported '* ]]; then
    __taowatch_encode "${2#exported }"
  fi
  __taowatch_state+="$1$__taowatch_encoded|"
  if ((${#__taowatch_state} > 30000)); then
    __taowatch_long=1 __taowatch_state=
  fi
}

__taowatch_encode() {
  __taowatch_encoded=+${1//'%'/%25}
  __taowatch_encoded=${__taowatch_encoded//'|'/%7C}
  __taowatch_encoded=${__taowatch_encoded//$'\n'/%0A}
}

__taowatch_decode() {
  __taowatch_decoded=${1//%7C/'|'}
  __taowatch_decoded=${__taowatch_decoded//%0A/$'\n'}
  __taowatch_decoded=${__taowatch_decoded//%25/%}
}

# What this shell inherited from one that had entered a project is taken over, to be taken back as there.
__taowatch_adopt() {
  \local __taowatch_rest __taowatch_name __taowatch_decoded
  __taowatch_rest=${TAOWATCH_STATE-}
  while [[ $__taowatch_rest == *'|'*'|'*'|'* ]]; do
    __taowatch_name=${__taowatch_rest%%'|'*} __taowatch_rest=${__taowatch_rest#*'|'}
    __taowatch_decode "${__taowatch_rest%%'|'*}"
    __taowatch_rest=${__taowatch_rest#*'|'}
    case $__taowatch_name in '' | [!A-Za-z_]* | *[!A-Za-z0-9_]*) \return 0 ;; esac
    __taowatch_values[$__taowatch_name]=$__taowatch_decoded
    __taowatch_decode "${__taowatch_rest%%'|'*}"
    __taowatch_rest=${__taowatch_rest#*'|'}
    __taowatch_before[$__taowatch_name]='unset'
    [[ ${__taowatch_decoded:0:1} != + ]] || __taowatch_before[$__taowatch_name]="exported ${__taowatch_decoded:1}"
  done
  __taowatch[inherited]=${TAOWATCH_PROJECT-}
}

# Take back what was set, where it still has the value that was set; what the user changed since is theirs.
__taowatch_leave() {
  \local __taowatch_name __taowatch_was
  for __taowatch_name in "${!__taowatch_values[@]}"; do
    [[ -n ${!__taowatch_name+set} && ${!__taowatch_name@a} != *r* ]] || \continue
    \builtin test "${!__taowatch_name}" = "${__taowatch_values[$__taowatch_name]}" || \continue
    __taowatch_was=${__taowatch_before[$__taowatch_name]}
    \builtin unset -v "$__taowatch_name"
    case $__taowatch_was in
      exported\ *) \builtin export "$__taowatch_name=${__taowatch_was#exported }" ;;
      set\ *) \builtin printf -v "$__taowatch_name" %s "${__taowatch_was#set }" ;;
    esac
  done
  __taowatch_values=() __taowatch_before=()
  __taowatch[project]=
  [[ -n ${__taowatch[found]-} ]] || __taowatch[entered]=
  \builtin unset -v TAOWATCH_STATE
}

# The daemon's file: its PID and a stamp, then a line for each alert: JOB ID TEXT. Each is said once in each shell, and
# none of them where the daemon died without taking its file with it.
__taowatch_warn() {
  \local __taowatch_pid __taowatch_stamp __taowatch_job __taowatch_id __taowatch_text __taowatch_jobs
  __taowatch_pid='' __taowatch_stamp='' __taowatch_jobs=' '
  {
    IFS=' ' \builtin read -r __taowatch_pid __taowatch_stamp || \builtin :
    if \builtin test "$__taowatch_stamp" = "${__taowatch[stamp]-}" || [[ ! -d /proc/$__taowatch_pid ]]; then
      \return 0
    fi
    while IFS=' ' \builtin read -r __taowatch_job __taowatch_id __taowatch_text; do
      __taowatch_jobs+="$__taowatch_job "
      if ! \builtin test "$__taowatch_id" = "${__taowatch[alert:$__taowatch_job]-}"; then
        __taowatch[alert:$__taowatch_job]=$__taowatch_id
        \builtin printf 'taowatch: %s\n' "$__taowatch_text" >&2
      fi
    done
  } <"${__taowatch[alert]}"
  __taowatch_end_alerts "$__taowatch_jobs"
  __taowatch[stamp]=$__taowatch_stamp
}

# __taowatch_end_alerts JOBS: those that were told of and are not among JOBS are over.
__taowatch_end_alerts() {
  \local IFS __taowatch_job __taowatch_over
  IFS=' ' __taowatch_over=''
  for __taowatch_job in ${__taowatch[alerts]-}; do
    if [[ $1 != *" $__taowatch_job "* ]]; then
      __taowatch_over=1 __taowatch[alert:$__taowatch_job]=
    fi
  done
  __taowatch[alerts]=$1 __taowatch[stamp]=
  if [[ -z $__taowatch_over ]]; then
    \return 0
  elif [[ $1 == ' ' ]]; then
    __taowatch[alerts]=
    \builtin printf 'taowatch: the conflict is over\n' >&2
  else
    \builtin printf 'taowatch: one conflict is over, another is not\n' >&2
  fi
}

# What click needs to complete; asked for only when the Tab key is pressed.
__taowatch_complete() {
  \local IFS __taowatch_line __taowatch_words
  IFS=$'\n' __taowatch_words="${COMP_WORDS[*]}"
  COMPREPLY=()
  for __taowatch_line in $(_TAOWATCH_COMPLETE=bash_complete COMP_WORDS=$__taowatch_words COMP_CWORD=$COMP_CWORD \
    \command taowatch 2>/dev/null); do
    case $__taowatch_line in
      dir,*) \builtin compopt -o dirnames ;;
      file,*) \builtin compopt -o default ;;
      plain,*) COMPREPLY+=("${__taowatch_line#plain,}") ;;
    esac
  done
}

__taowatch_register() {
  \builtin declare -p __taowatch >/dev/null 2>&1 || \builtin declare -gA __taowatch __taowatch_values __taowatch_before
  __taowatch[shell]=@SHELL@
  __taowatch[runtime]=@RUNTIME@
  __taowatch[alert]=${__taowatch[runtime]}/alert
  __taowatch[pwd]=''
  [[ $- == *i* ]] || \return 0
  if [[ -z ${__taowatch[registered]-} ]]; then
    __taowatch[registered]=1
    __taowatch_adopt
    \builtin complete -o nosort -F __taowatch_complete taowatch
  fi
  # An array, which is not exported: where PROMPT_COMMAND is, a child without the hook finds `:` here.
  \builtin declare -ga __taowatch_entry
  __taowatch_entry[0]=__taowatch_hook
  [[ "${PROMPT_COMMAND[*]-}" != *__taowatch_entry* ]] || \return 0
  # `&& :` keeps the status, and keeps errexit from ending the shell because of it.
  \local __taowatch_own
  __taowatch_own='"${__taowatch_entry-:}" && :'
  # As an array only from 5.1 on, where bash runs all of it.
  if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501)) &&
    [[ $(\builtin declare -p PROMPT_COMMAND 2>/dev/null) == "declare -a"* ]]; then
    PROMPT_COMMAND=("$__taowatch_own" "${PROMPT_COMMAND[@]}")
  else
    __taowatch_prepend "$__taowatch_own"
  fi
}

# Not exported where it was not, with allexport neither.
__taowatch_prepend() {
  \local __taowatch_flags
  __taowatch_flags=${PROMPT_COMMAND+${PROMPT_COMMAND@a}}
  # shellcheck disable=SC2128,SC2178 # a string, or the first element where bash runs no other
  PROMPT_COMMAND="$1${PROMPT_COMMAND:+;$PROMPT_COMMAND}"
  [[ $__taowatch_flags == *x* ]] || \builtin export -n PROMPT_COMMAND
}

if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)); then
  __taowatch_register
elif [[ $- == *i* ]]; then
  \builtin printf 'taowatch: the hook needs bash 4.4 or newer, this is %s\n' "$BASH_VERSION" >&2
fi
