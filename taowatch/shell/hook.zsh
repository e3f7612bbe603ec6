# taowatch's hook for zsh, for: eval "$(taowatch hook zsh)"
#
# At a prompt where nothing changed it runs builtins only and forks nothing. It sets no trap, no option and no alias, and
# touches no names but its own (__taowatch*), TAOWATCH_* and the variables of an allowed project. It waits for the prompt
# rather than for `cd`, which completion runs as well. A backslash or \builtin stands against aliases and functions,
# `emulate` against the user's options, ${x-} against nounset. The same in bash, with more comments: hook.bash.
#
# Arrays, which are never exported:
# __taowatch          shell, runtime: directories; pwd, at, seen, generation: what the last prompt saw; project: the
#                     directory whose variables are set; found, toml, snippet, content: the nearest project, its files,
#                     and what the first of them held when it was allowed; gone: a nearer one that has none now;
#                     told:*, alert:*, alerts, stamp: what was said already; held: what is to be said
# __taowatch_values   name -> the value that was set
# __taowatch_before   name -> what stood there: `unset`, `set VALUE` or `exported VALUE`

__taowatch_hook() {
  \builtin local "__taowatch_status=$?"
  \builtin emulate -L zsh
  # Nothing changed: no project was allowed or denied (`at`), the .taowatch.toml of the one here has the time that it had
  # when it was allowed (its snippet has the same), there is and was nothing to tell.
  if [[ $PWD != "${__taowatch[pwd]}" || ! -f ${__taowatch[at]} || -f ${__taowatch[alert]} ||
    -n ${__taowatch[alerts]}${__taowatch[gone]}${__taowatch[held]} || ( -n ${__taowatch[toml]} &&
    ( ! -f ${__taowatch[toml]} || ${__taowatch[toml]} -nt ${__taowatch[snippet]} ||
    ${__taowatch[toml]} -ot ${__taowatch[snippet]} ) ) ]]; then
    __taowatch_look || \builtin :
  fi
  \builtin return "$__taowatch_status"
}

# Something may have changed: see what.
__taowatch_look() {
  [[ -f ${__taowatch[at]} ]] || __taowatch_read_generation
  if [[ $PWD != "${__taowatch[pwd]}" ]]; then
    __taowatch_move
  elif [[ -n ${__taowatch[found]} ]]; then
    __taowatch_compare
  fi
  if [[ -n ${__taowatch[gone]} && -f ${__taowatch[gone]}/.taowatch.toml ]]; then
    __taowatch_move
  fi
  if [[ -f ${__taowatch[alert]} ]]; then
    __taowatch_warn
  elif [[ -n ${__taowatch[alerts]} && -f ${__taowatch[runtime]}/status.json ]]; then
    # A daemon runs and has nothing to tell; without one, nobody knows whether it is over.
    __taowatch_end_alerts ' '
  fi
  if [[ -n ${__taowatch[held]} ]] && (( ! ${+__p9k_instant_prompt_active} )); then
    \builtin print -rn -- "${__taowatch[held]}" >&2
    __taowatch[held]=
  fi
  # compinit may run after us.
  if [[ -z ${__taowatch[completes]} ]] && (( ${+functions[compdef]} )); then
    __taowatch[completes]=1
    compdef __taowatch_complete taowatch
  fi
}

# The name of a file tells at what generation the projects are, so that the idle prompt only has to look for it. Here, the
# new one: VERSION ID. Another version than ours means that taowatch was upgraded under this shell.
__taowatch_read_generation() {
  \builtin local __taowatch_version= __taowatch_id= 'IFS= '
  if [[ -f ${__taowatch[shell]}/generation ]]; then
    \builtin read -r __taowatch_version __taowatch_id <"${__taowatch[shell]}/generation" || \builtin :
  fi
  [[ "$__taowatch_version $__taowatch_id" != "${__taowatch[seen]}" ]] || \builtin return 0
  __taowatch[seen]="$__taowatch_version $__taowatch_id"
  __taowatch[generation]=$__taowatch_id
  __taowatch[at]=${__taowatch[shell]}/at.$__taowatch_id
  __taowatch[pwd]=
  if [[ ${__taowatch_version:-1} != 1 ]]; then
    __taowatch[generation]=
    __taowatch_say_once upgraded 'was upgraded under this shell; for its variables: eval "$(taowatch hook zsh)"'
  fi
}

# The shell is elsewhere, or the projects changed: find the nearest project and make the variables those of it.
__taowatch_move() {
  \builtin local "__taowatch_real=$PWD" "__taowatch_left=${__taowatch[project]}"
  __taowatch[pwd]=$PWD
  # Not where $PWD leads elsewhere by now.
  [[ ! $PWD -ef . ]] || __taowatch_real=${PWD:A}
  __taowatch_search
  [[ -z $__taowatch_left ]] || __taowatch_explain
  if [[ -z ${__taowatch[found]} ]]; then
    __taowatch_leave
  elif [[ "${__taowatch[found]} ${__taowatch[generation]}" != "${__taowatch[entered]}" ]]; then
    \builtin source "${__taowatch[snippet]}" || \builtin :
  else
    __taowatch_compare
  fi
}

# The nearest project at or above __taowatch_real. One whose .taowatch.toml is gone is none, but may come back.
__taowatch_search() {
  \builtin local "__taowatch_directory=$__taowatch_real"
  __taowatch[found]= __taowatch[gone]= __taowatch[toml]= __taowatch[snippet]=
  [[ ${__taowatch[seen]} == '1 '* ]] || \builtin return 0
  while \builtin :; do
    if [[ -f ${__taowatch[shell]}/tree$__taowatch_directory/=env.sh ]]; then
      if [[ -f $__taowatch_directory/.taowatch.toml ]]; then
        __taowatch[found]=${__taowatch_directory:-/}
        __taowatch[toml]=$__taowatch_directory/.taowatch.toml
        __taowatch[snippet]=${__taowatch[shell]}/tree$__taowatch_directory/=env.sh
        \builtin return 0
      fi
      __taowatch[gone]=${__taowatch[gone]:-${__taowatch_directory:-/}}
    fi
    [[ -n $__taowatch_directory && $__taowatch_directory != / ]] || \builtin return 0
    __taowatch_directory=${__taowatch_directory%/*}
  done
}

# The project that the shell was in is there no more, while the shell still is: say why.
__taowatch_explain() {
  [[ $__taowatch_real/ == "${__taowatch_left%/}"/* && ${__taowatch[seen]} == '1 '* ]] || \builtin return 0
  if [[ ! -f ${__taowatch[shell]}/tree$__taowatch_left/=env.sh ]]; then
    __taowatch_refuse 'is not allowed any more' allow "$__taowatch_left"
  elif [[ ! -f $__taowatch_left/.taowatch.toml ]]; then
    __taowatch_refuse 'has no .taowatch.toml any more' init "$__taowatch_left"
  fi
}

# __taowatch_refuse REASON COMMAND DIRECTORY: quoted, because a directory may be called anything.
__taowatch_refuse() {
  __taowatch_say_once "$3" "${(q+)3} $1; to allow it as it is now: taowatch $2 ${(q+)3}"
}

# powerlevel10k draws its first prompt before the startup file runs, and takes any line for a mistake until the real one
# stands; ours can wait for the next.
__taowatch_say() {
  if (( ${+__p9k_instant_prompt_active} )); then
    __taowatch[held]+="taowatch: $1"$'\n'
  else
    \builtin print -rn -- "${__taowatch[held]}taowatch: $1"$'\n' >&2
    __taowatch[held]=
  fi
}

# __taowatch_say_once ABOUT TEXT: once in a shell for each generation.
__taowatch_say_once() {
  if [[ "${__taowatch[generation]} $2" != "${__taowatch[told:$1]}" ]]; then
    __taowatch[told:$1]="${__taowatch[generation]} $2"
    __taowatch_say "$2"
  fi
}

# __taowatch_content is the project's .taowatch.toml. All of it, as a checkout may bring it back with another time; it is
# short. Where it cannot be read, `/`, which is no TOML. `read` would ask the system for each byte.
__taowatch_read_content() {
  \builtin local __taowatch_part=
  __taowatch_content=/
  [[ -f ${__taowatch[toml]} && -r ${__taowatch[toml]} ]] || \builtin return 0
  __taowatch_content=
  if (( ${+builtins[sysread]} )); then
    while \builtin sysread -s 65536 __taowatch_part; do
      __taowatch_content+=$__taowatch_part
    done <"${__taowatch[toml]}"
  else
    IFS= \builtin read -r -d '' __taowatch_content <"${__taowatch[toml]}" || \builtin :
  fi
}

# Whether the project is still, or again, the one that was allowed.
__taowatch_compare() {
  \builtin local __taowatch_content=
  __taowatch_read_content
  if [[ $__taowatch_content == "${__taowatch[content]}" ]]; then
    if [[ -z ${__taowatch[project]} ]]; then
      __taowatch[entered]= __taowatch[pwd]=
      __taowatch_move
    fi
  elif [[ -f ${__taowatch[toml]} ]]; then
    __taowatch_leave
    __taowatch_refuse 'changed and is not allowed any more' allow "${__taowatch[found]}"
  else
    __taowatch_move
  fi
}

# __taowatch_project QUIET DIRECTORY PROJECT CONTENT [NAME VALUE NOTE]...: what a snippet says. NOTE is NAME|VALUE| for
# TAOWATCH_STATE.
__taowatch_project() {
  \builtin local "__taowatch_quiet=$1" "__taowatch_directory=$2" "__taowatch_project=$3" __taowatch_content=
  \builtin local __taowatch_state= __taowatch_long= __taowatch_fixed= "__taowatch_count=$(( $# / 3 - 2 ))"
  \builtin local "__taowatch_inherited=${__taowatch[inherited]}"
  __taowatch[content]=$4
  __taowatch[entered]="${__taowatch[found]} ${__taowatch[generation]}"
  __taowatch[inherited]=
  __taowatch_leave
  __taowatch_read_content
  if [[ $__taowatch_content != "$4" ]]; then
    __taowatch_refuse 'changed and is not allowed any more' allow "$__taowatch_directory"
    \builtin return 0
  fi
  \builtin shift 4
  while (( $# > 2 )); do
    __taowatch_set "$1" "$2" "$3"
    \builtin shift 3
  done
  __taowatch[project]=$__taowatch_directory
  [[ -n $__taowatch_long ]] || \builtin export "TAOWATCH_STATE=$__taowatch_state"
  if [[ -n $__taowatch_fixed ]]; then
    __taowatch_say "left alone, as this shell has them readonly or typed:$__taowatch_fixed"
  fi
  if [[ -z $__taowatch_quiet && ${TAOWATCH_QUIET:-0} == 0 && $__taowatch_inherited != "$__taowatch_directory" ]]; then
    __taowatch_say "$__taowatch_project, $__taowatch_count variables"
  fi
}

# Export one variable and remember what stood there: unset, set or exported are three different things. One that is
# readonly, an integer, tied… is the user's own: an assignment would fail, or evaluate the value.
__taowatch_set() {
  \builtin local __taowatch_was=
  case ${(Pt)1-} in
    '') __taowatch_was=unset ;;
    scalar) __taowatch_was="set ${(P)1}" ;;
    scalar-export) __taowatch_was="exported ${(P)1}" ;;
    *)
      __taowatch_fixed+=" $1"
      (( __taowatch_count -= 1 )) || \builtin :
      \builtin return 0
      ;;
  esac
  __taowatch_before[$1]=$__taowatch_was
  __taowatch_values[$1]=$2
  \builtin export "$1=$2"
  __taowatch_note "$3" "$__taowatch_was"
}

# A child shell learns from TAOWATCH_STATE what is ours: name|value that was set|value before, with a `+`, or `-`.
# One string of the environment has a limit (128 KiB), beyond which no command could be started at all.
__taowatch_note() {
  \builtin local __taowatch_encoded=-
  if [[ $2 == 'exported '* ]]; then
    __taowatch_encode "${2#exported }"
  fi
  __taowatch_state+="$1$__taowatch_encoded|"
  if ((${#__taowatch_state} > 30000)); then
    __taowatch_long=1 __taowatch_state=
  fi
}

__taowatch_encode() {
  __taowatch_encoded=+${1//\%/%25}
  __taowatch_encoded=${__taowatch_encoded//\|/%7C}
  __taowatch_encoded=${__taowatch_encoded//$'\n'/%0A}
}

__taowatch_decode() {
  __taowatch_decoded=${1//\%7C/|}
  __taowatch_decoded=${__taowatch_decoded//\%0A/$'\n'}
  __taowatch_decoded=${__taowatch_decoded//\%25/%}
}

# What this shell inherited from one that had entered a project is taken over, to be taken back as there.
__taowatch_adopt() {
  \builtin local "__taowatch_rest=${TAOWATCH_STATE-}" __taowatch_name= __taowatch_decoded=
  while [[ $__taowatch_rest == *'|'*'|'*'|'* ]]; do
    __taowatch_name=${__taowatch_rest%%'|'*} __taowatch_rest=${__taowatch_rest#*'|'}
    __taowatch_decode "${__taowatch_rest%%'|'*}"
    __taowatch_rest=${__taowatch_rest#*'|'}
    case $__taowatch_name in '' | [!A-Za-z_]* | *[!A-Za-z0-9_]*) \builtin return 0 ;; esac
    __taowatch_values[$__taowatch_name]=$__taowatch_decoded
    __taowatch_decode "${__taowatch_rest%%'|'*}"
    __taowatch_rest=${__taowatch_rest#*'|'}
    __taowatch_before[$__taowatch_name]=unset
    [[ $__taowatch_decoded != +* ]] || __taowatch_before[$__taowatch_name]="exported ${__taowatch_decoded#+}"
  done
  __taowatch[inherited]=${TAOWATCH_PROJECT-}
}

# Take back what was set, where it still has the value that was set; what the user changed since is theirs.
__taowatch_leave() {
  \builtin local __taowatch_name= __taowatch_was=
  for __taowatch_name in "${(@k)__taowatch_values}"; do
    case ${(Pt)__taowatch_name-} in scalar | scalar-export) ;; *) \builtin continue ;; esac
    [[ ${(P)__taowatch_name} == "${__taowatch_values[$__taowatch_name]}" ]] || \builtin continue
    __taowatch_was=${__taowatch_before[$__taowatch_name]}
    \builtin unset "$__taowatch_name"
    case $__taowatch_was in
      'exported '*) \builtin export "$__taowatch_name=${__taowatch_was#exported }" ;;
      'set '*) \builtin typeset -g "$__taowatch_name=${__taowatch_was#set }" ;;
    esac
  done
  __taowatch_values=() __taowatch_before=()
  __taowatch[project]=
  [[ -n ${__taowatch[found]} ]] || __taowatch[entered]=
  \builtin unset TAOWATCH_STATE
}

# The daemon's file: its PID and a stamp, then a line for each alert: JOB ID TEXT. Each is said once in each shell, and
# none of them where the daemon died without taking its file with it.
__taowatch_warn() {
  \builtin local __taowatch_pid= __taowatch_stamp= __taowatch_job= __taowatch_id= __taowatch_text=
  \builtin local '__taowatch_jobs= ' 'IFS= '
  {
    \builtin read -r __taowatch_pid __taowatch_stamp || \builtin :
    if [[ $__taowatch_stamp == "${__taowatch[stamp]}" || ! -d /proc/$__taowatch_pid ]]; then
      \builtin return 0
    fi
    while \builtin read -r __taowatch_job __taowatch_id __taowatch_text; do
      __taowatch_jobs+="$__taowatch_job "
      if [[ $__taowatch_id != "${__taowatch[alert:$__taowatch_job]}" ]]; then
        __taowatch[alert:$__taowatch_job]=$__taowatch_id
        __taowatch_say "$__taowatch_text"
      fi
    done
  } <"${__taowatch[alert]}"
  __taowatch_end_alerts "$__taowatch_jobs"
  __taowatch[stamp]=$__taowatch_stamp
}

# __taowatch_end_alerts JOBS: those that were told of and are not among JOBS are over.
__taowatch_end_alerts() {
  \builtin local __taowatch_job= __taowatch_over=
  for __taowatch_job in ${(s: :)__taowatch[alerts]}; do
    if [[ $1 != *" $__taowatch_job "* ]]; then
      __taowatch_over=1 __taowatch[alert:$__taowatch_job]=
    fi
  done
  __taowatch[alerts]=${1# } __taowatch[stamp]=
  if [[ -z $__taowatch_over ]]; then
    \builtin return 0
  elif [[ $1 == ' ' ]]; then
    __taowatch_say 'the conflict is over'
  else
    __taowatch_say 'one conflict is over, another is not'
  fi
}

# What click needs to complete; asked for only when the Tab key is pressed. Three lines for each: type, word, help or `_`.
__taowatch_complete() {
  \builtin local -a __taowatch_answer __taowatch_described __taowatch_plain
  \builtin local __taowatch_type= __taowatch_word= __taowatch_help=
  __taowatch_answer=("${(@f)$(_TAOWATCH_COMPLETE=zsh_complete COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT - 1)) \
    \command taowatch 2>/dev/null)}")
  for __taowatch_type __taowatch_word __taowatch_help in "${__taowatch_answer[@]}"; do
    case $__taowatch_type in
      dir) _path_files -/ ;;
      file) _path_files -f ;;
      plain)
        if [[ $__taowatch_help == _ ]]; then
          __taowatch_plain+=("$__taowatch_word")
        else
          __taowatch_described+=("${__taowatch_word//:/\\:}:$__taowatch_help")
        fi
        ;;
    esac
  done
  (( ! ${#__taowatch_described} )) || _describe -V unsorted __taowatch_described -U
  (( ! ${#__taowatch_plain} )) || compadd -U -V unsorted -a __taowatch_plain
}

__taowatch_register() {
  \builtin emulate -L zsh
  (( ${+__taowatch} )) || \builtin typeset -gA __taowatch __taowatch_values __taowatch_before
  __taowatch[shell]=@SHELL@
  __taowatch[runtime]=@RUNTIME@
  __taowatch[alert]=${__taowatch[runtime]}/alert
  __taowatch[pwd]=
  [[ -o interactive ]] || \builtin return 0
  if [[ -z ${__taowatch[registered]} ]]; then
    __taowatch[registered]=1
    \builtin zmodload -F zsh/system b:sysread 2>/dev/null || \builtin :
    __taowatch_adopt
  fi
  # What add-zsh-hook does, which needs an intact fpath, and calls builtins that the user may have functions over.
  \builtin typeset -ga precmd_functions
  (( ${precmd_functions[(Ie)__taowatch_hook]} )) || precmd_functions+=(__taowatch_hook)
}

__taowatch_register
