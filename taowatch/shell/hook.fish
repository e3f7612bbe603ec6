# taowatch's hook for fish (3.6 and newer), for: taowatch hook fish | source
#
# At a prompt where nothing changed it runs builtins only and forks nothing (a command substitution of builtins is none).
# It touches no names but its own (__taowatch*), TAOWATCH_* and the variables of an allowed project, and never the
# universal scope. `builtin` stands against functions (fish itself
# protects set, test, read, string and status); the empty local IFS keeps a substitution in one piece, and off
# its last newline only. The same in bash, with more comments: hook.bash.
#
# Global variables, not exported:
# __taowatch_shell, _runtime                    directories
# __taowatch_pwd, _at, _seen, _generation       what the last prompt saw
# __taowatch_project                            the directory whose variables are set
# __taowatch_found, _toml, _snippet, _content   the nearest project, its files, what the first held when it was allowed
# __taowatch_gone                               a nearer one that has no .taowatch.toml now
# __taowatch_told, _alerts, _stamp              what was said already
# __taowatch_names, _values                     what is set; where something stood there before, __taowatch_before_NAME has
#                                               it (a list), and __taowatch_was_NAME says -u or -x

function __taowatch_hook --on-event fish_prompt
    set -l __taowatch_status $status
    # Nothing changed: neither the directory nor which projects are allowed (_at); the .taowatch.toml of the one here has
    # the time that it had when it was allowed (its snippet has the same; elsewhere both stand for _at); there is and was
    # nothing to tell. One `test`, as each command has its price.
    if test "$PWD" = "$__taowatch_pwd" -a -f "$__taowatch_at" -a ! -f "$__taowatch_alert" \
            -a -z "$__taowatch_alerts$__taowatch_gone" -a -f "$__taowatch_toml" \
            -a ! "$__taowatch_toml" -nt "$__taowatch_snippet" -a ! "$__taowatch_toml" -ot "$__taowatch_snippet"
        return $__taowatch_status
    end
    __taowatch_look
    if test -f "$__taowatch_alert"
        __taowatch_warn
    else if test -n "$__taowatch_alerts" -a -f "$__taowatch_runtime/status.json"
        # A daemon runs and has nothing to tell; without one, nobody knows whether it is over.
        __taowatch_end_alerts
    end
    return $__taowatch_status
end

# The arrow keys change directory without a new prompt; what is run then has the right variables all the same.
function __taowatch_before_command --on-event fish_preexec
    if not test "$PWD" = "$__taowatch_pwd"
        __taowatch_look
    end
end

# Something may have changed: see what.
function __taowatch_look
    if not test -f "$__taowatch_at"
        __taowatch_read_generation
    end
    if not test "$PWD" = "$__taowatch_pwd"
        __taowatch_move
    else if test -n "$__taowatch_found"
        __taowatch_compare
    end
    if test -n "$__taowatch_gone" -a -f "$__taowatch_gone/.taowatch.toml"
        __taowatch_move
    end
end

# The name of a file tells at what generation the projects are, so that the idle prompt only has to look for it. Here, the
# new one: VERSION ID. Another version than ours means that taowatch was upgraded under this shell.
function __taowatch_read_generation
    set -l protocol
    set -l id
    if test -f "$__taowatch_shell/generation"
        read -l -d ' ' protocol id <"$__taowatch_shell/generation"
        set -g __taowatch_at "$__taowatch_shell/at.$id"
        set -g __taowatch_generation "$id"
        if not test "$protocol $id" = "$__taowatch_seen"
            set -g __taowatch_seen "$protocol $id"
            set -g __taowatch_pwd
            if not test "$protocol" = 1
                set -g __taowatch_generation
                __taowatch_say_once upgraded 'was upgraded under this shell; for its variables: taowatch hook fish | source'
            end
        end
    else if test -n "$__taowatch_seen"
        set -g __taowatch_seen
        set -g __taowatch_pwd
    end
end

# The shell is elsewhere, or the projects changed: find the nearest project and make the variables those of it.
function __taowatch_move
    set -l IFS
    set -l left "$__taowatch_project"
    set -l real (builtin pwd -P)
    set -g __taowatch_pwd "$PWD"
    __taowatch_search "$real"
    if test -n "$left"
        __taowatch_explain "$left" "$real"
    end
    if test -z "$__taowatch_found"
        __taowatch_leave
    else if test "$__taowatch_found $__taowatch_generation" = "$__taowatch_entered"
        __taowatch_compare
    else
        builtin source "$__taowatch_snippet"
    end
end

# __taowatch_search DIRECTORY: the nearest project at or above it. One whose .taowatch.toml is gone is none, but may come
# back.
function __taowatch_search
    set -l IFS
    set -l directory "$argv[1]"
    set -g __taowatch_found
    set -g __taowatch_gone
    set -g __taowatch_toml "$__taowatch_at"
    set -g __taowatch_snippet "$__taowatch_at"
    string match -q '1 *' -- "$__taowatch_seen"; or return 0
    while true
        if test -f "$__taowatch_shell/tree$directory/=env.fish"
            set -l named "$directory"
            test -n "$directory"; or set named /
            if test -f "$directory/.taowatch.toml"
                set -g __taowatch_found "$named"
                set -g __taowatch_toml "$directory/.taowatch.toml"
                set -g __taowatch_snippet "$__taowatch_shell/tree$directory/=env.fish"
                return 0
            end
            test -n "$__taowatch_gone"; or set -g __taowatch_gone "$named"
        end
        if test -z "$directory" -o "$directory" = /
            return 0
        end
        set directory (string replace -r '/[^/]*\z' '' -- "$directory")
    end
end

# __taowatch_explain LEFT REAL: the project that the shell was in is there no more, while the shell still is: say why.
function __taowatch_explain
    set -l IFS
    string match -q '1 *' -- "$__taowatch_seen"; or return 0
    set -l prefix (string escape --style=regex -- "$argv[1]")
    if not string match -q -r "^$prefix(/|\\z)" -- "$argv[2]"
        return 0
    end
    if not test -f "$__taowatch_shell/tree$argv[1]/=env.fish"
        __taowatch_refuse 'is not allowed any more' allow "$argv[1]"
    else if not test -f "$argv[1]/.taowatch.toml"
        __taowatch_refuse 'has no .taowatch.toml any more' init "$argv[1]"
    end
end

# __taowatch_refuse REASON COMMAND DIRECTORY: quoted, because a directory may be called anything.
function __taowatch_refuse
    set -l IFS
    set -l quoted (string escape -- "$argv[3]")
    __taowatch_say_once "$argv[3]" "$quoted $argv[1]; to allow it as it is now: taowatch $argv[2] $quoted"
end

# __taowatch_say_once ABOUT TEXT: once in a shell for each generation.
function __taowatch_say_once
    if not builtin contains -- "$__taowatch_generation $argv[2]" $__taowatch_told
        set -g -a __taowatch_told "$__taowatch_generation $argv[2]"
        builtin printf 'taowatch: %s\n' "$argv[2]" >&2
    end
end

# Whether .taowatch.toml holds what it held when it was allowed. All of it is compared, as a checkout may bring it back
# with another time; it is short. Where it cannot be read, it is `/`, which is no TOML.
function __taowatch_same
    set -l IFS
    set -l content /
    if test -f "$__taowatch_toml" -a -r "$__taowatch_toml"
        read -z content <"$__taowatch_toml"
    end
    test "$content" = "$__taowatch_content"
end

# Whether the project is still, or again, the one that was allowed.
function __taowatch_compare
    if __taowatch_same
        if test -z "$__taowatch_project"
            set -g __taowatch_entered
            __taowatch_move
        end
    else if test -f "$__taowatch_toml"
        __taowatch_leave
        __taowatch_refuse 'changed and is not allowed any more' allow "$__taowatch_found"
    else
        __taowatch_move
    end
end

# __taowatch_project QUIET DIRECTORY PROJECT CONTENT [NAME VALUE NOTE]...: what a snippet says. NOTE is NAME|VALUE| for
# TAOWATCH_STATE.
function __taowatch_project
    set -l quiet "$argv[1]"
    set -l directory "$argv[2]"
    set -l project "$argv[3]"
    set -l inherited "$__taowatch_inherited"
    set -g __taowatch_content "$argv[4]"
    set -g __taowatch_entered "$__taowatch_found $__taowatch_generation"
    set -g __taowatch_inherited
    __taowatch_leave
    if not __taowatch_same
        __taowatch_refuse 'changed and is not allowed any more' allow "$directory"
        return 0
    end
    __taowatch_set $argv[5..-1]
    set -g __taowatch_project "$directory"
    if test -z "$quiet" -a "$inherited" != "$directory"
        and string match -q -r '^0?\z' -- "$TAOWATCH_QUIET"
        builtin printf 'taowatch: %s, %d variables\n' "$project" (builtin math (builtin count $argv) / 3 - 2 - 1/3) >&2
    end
end

# __taowatch_set [NAME VALUE NOTE]...: export the variables and remember what stood there, if anything did; and tell child
# shells by TAOWATCH_STATE what is ours: name|value that was set|value before, with a `+`, or `-`.
function __taowatch_set
    set -l __taowatch_state
    while set -q argv[3]
        set -g -a __taowatch_names $argv[1]
        set -g -a __taowatch_values "$argv[2]"
        if set -q -g $argv[1]
            __taowatch_remember $argv[1]
            set -a __taowatch_state "$argv[3]$__taowatch_encoded|"
        else
            set -a __taowatch_state "$argv[3]-|"
        end
        set -gx $argv[1] "$argv[2]"
        set -e argv[1..3]
    end
    # One string of the environment has a limit (128 KiB), beyond which no command could be started at all.
    set -l joined "$__taowatch_state"
    if test (string length -- "$joined") -lt 30000
        set -l IFS
        set -gx TAOWATCH_STATE (string join '' -- $__taowatch_state)
    end
end

# __taowatch_remember NAME: set and exported are two different things.
function __taowatch_remember
    set -l IFS
    set -g __taowatch_encoded -
    set -g __taowatch_was_$argv[1] -u
    set -g __taowatch_before_$argv[1] $$argv[1]
    if set -q -g -x $argv[1]
        set -g __taowatch_was_$argv[1] -x
        set -l value (string replace -a % %25 -- "$$argv[1]")
        set value (string replace -a '|' %7C -- "$value")
        set -g __taowatch_encoded +(string replace -a \n %0A -- "$value")
    end
end

# What this shell inherited from one that had entered a project is taken over, to be taken back as there.
function __taowatch_adopt
    set -l IFS \n
    set -l fields (string split '|' -- "$TAOWATCH_STATE")
    while set -q fields[4]
        string match -q -r '^[A-Za-z_][A-Za-z0-9_]*\z' -- "$fields[1]"; or return 0
        set -g -a __taowatch_names $fields[1]
        set -g -a __taowatch_values (__taowatch_decode "$fields[2]" | string collect -N -a)
        if string match -q '+*' -- "$fields[3]"
            set -g __taowatch_was_$fields[1] -x
            set -g __taowatch_before_$fields[1] (__taowatch_decode (string sub -s 2 -- "$fields[3]") | string collect -N -a)
        end
        set -e fields[1..3]
    end
    set -g __taowatch_inherited "$TAOWATCH_PROJECT"
end

function __taowatch_decode
    set -l IFS
    set -l text (string replace -a %7C '|' -- "$argv[1]")
    set text (string replace -a %0A \n -- "$text")
    builtin printf %s (string replace -a %25 % -- "$text")
end

# Take back what was set, where it still has the value that was set; what the user changed since is theirs.
function __taowatch_leave
    set -l __taowatch_left $__taowatch_values
    for __taowatch_name in $__taowatch_names
        if test "$$__taowatch_name" = "$__taowatch_left[1]"; and set -q -g $__taowatch_name
            set -e -g $__taowatch_name
            __taowatch_restore $__taowatch_name
        end
        set -e __taowatch_left[1]
    end
    set -g __taowatch_names
    set -g __taowatch_values
    set -g __taowatch_project
    test -n "$__taowatch_found"; or set -g __taowatch_entered
    set -e -g TAOWATCH_STATE
end

function __taowatch_restore
    set -l was __taowatch_was_$argv[1]
    if set -q $was
        set -l before __taowatch_before_$argv[1]
        set -g $$was $argv[1] $$before
        set -e -g $was $before
    end
end

# The daemon's file: its PID and a stamp, then a line for each alert: JOB ID TEXT. Each is said once in each shell, and
# none of them where the daemon died without taking its file with it.
function __taowatch_warn
    set -l jobs
    set -l now
    begin
        read -l -d ' ' pid stamp
        if test "$stamp" = "$__taowatch_stamp"; or not test -d "/proc/$pid"
            return 0
        end
        while read -l -d ' ' job id text
            if not builtin contains -- "$job:$id" $__taowatch_alerts
                builtin printf 'taowatch: %s\n' "$text" >&2
            end
            set -a now "$job:$id"
        end
        __taowatch_end_alerts $now
        set -g __taowatch_stamp "$stamp"
    end <"$__taowatch_alert"
end

# __taowatch_end_alerts JOB:ID...: those that were told of and whose job is not among these are over.
function __taowatch_end_alerts
    set -l over
    for told in $__taowatch_alerts
        set -l job (string split -f 1 : -- $told)
        string match -q "$job:*" -- $argv; or set over 1
    end
    set -g __taowatch_alerts $argv
    set -g __taowatch_stamp
    if test -z "$over"
        return 0
    else if test -z "$argv"
        builtin printf 'taowatch: the conflict is over\n' >&2
    else
        builtin printf 'taowatch: one conflict is over, another is not\n' >&2
    end
end

# What click needs to complete; asked for only when the Tab key is pressed.
function __taowatch_complete
    set -l words (builtin commandline -cp)
    set -l word (builtin commandline -t)
    for line in (_TAOWATCH_COMPLETE=fish_complete COMP_WORDS=$words COMP_CWORD=$word command taowatch 2>/dev/null)
        set -l fields (string split -m 1 , -- $line)
        switch $fields[1]
            case dir
                __fish_complete_directories "$fields[2]"
            case file
                __fish_complete_path "$fields[2]"
            case plain
                builtin printf '%s\n' $fields[2]
        end
    end
end

set -g __taowatch_shell @SHELL@
set -g __taowatch_runtime @RUNTIME@
set -g __taowatch_alert "$__taowatch_runtime/alert"
set -g __taowatch_pwd
if status is-interactive; and not set -q -g __taowatch_registered
    set -g __taowatch_registered 1
    __taowatch_adopt
    builtin complete -c taowatch -f -a '(__taowatch_complete)'
end
