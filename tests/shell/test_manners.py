"""What a hook changes in the user's shell, beside its own names and the project's variables: nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from taowatch.paths import PROJECT_FILE
from tests.shell.conftest import Hooked
from tests.support.components import requires

# Each prints all that a shell has: variables, options, traps, aliases, functions, completions, directories.
SNAPSHOT = {
    "bash": r"""
snap() {
  local volatile='^(BASH.*|S?RANDOM|(OLD)?PWD|LINENO|SECONDS|EPOCH.*|FUNCNAME|PIPESTATUS|_|__taowatch.*)='
  { set; } | grep -Ev "$volatile" | sed '/^__taowatch[a-z_]* ()/,/^}/d'
  trap -p; shopt -p; set +o; alias; complete -p | grep -v ' taowatch$'; dirs; umask
}
""",
    "zsh": r"""
zmodload zsh/parameter
snap() {
  setopt
  emulate -L zsh
  local name
  for name in ${(ok)parameters}; do
    case $name in
      (__taowatch*|name|_|LINENO|RANDOM|SECONDS|TTYIDLE|EPOCH*|funcstack|func*trace|funcfiletrace|PWD|OLDPWD) ;;
      (before|after|argv|\*|@|\#|\?|0|status|pipestatus|parameters|functions*|dis_*|builtins|commands|modules) ;;
      (jobstates|jobdirs|jobtexts|history*|usergroups|userdirs|nameddirs|dirstack|zsh_eval_context|sysparams|errnos) ;;
      (keymaps|widgets|termcap|terminfo|\!|\$|ARGC|-|patchars|reswords|historywords|langinfo|saliases|galiases) ;;
      (*) print -r -- "$name=${(P)name} ${(Pt)name}" ;;
    esac
  done
  trap; alias -L; print -rl -- ${(ok)functions:#__taowatch*}; umask
}
""",
    "fish": r"""
function snap
  set --names | string match -v -r '^(__taowatch|status|pipestatus|PWD|OLDPWD|dirprev|dirnext|history|fish_.*pid)' |
    while read --function name; test $name = name; or echo $name $$name; end
  functions --names --all | string match -v '__taowatch*'; trap; bind; complete | string match -v '*__taowatch*'; umask
end
""",
}
PLAY = {
    "bash": """
trap 'echo mine' INT; shopt -s nocasematch; set -o noclobber; NUM_GPUS=9
cd /; snap > before || :; {line}; status() {{ return 7; }}
prompt() {{ status; eval "$PROMPT_COMMAND"; test $? = 7 || echo "status is lost"; }}
prompt; cd {project}; prompt; prompt; cd {project}/..; prompt; cd {project}; prompt
echo '#' >| {file}; prompt; cd /; prompt; unset PROMPT_COMMAND; unset -f prompt status
snap > after || :
""",
    "zsh": """
trap 'echo mine' INT; setopt no_clobber ksh_arrays; NUM_GPUS=9
cd /; snap > /dev/null; snap > {folder}/before; {line}; status_7() {{ return 7; }}
prompt() {{ status_7; __taowatch_hook; [[ $? = 7 ]] || echo "status is lost"; }}
prompt; cd {project}; prompt; prompt; cd {project}/..; prompt; cd {project}; prompt
echo '#' >| {file}; prompt; cd /; prompt; unset precmd_functions; unfunction prompt status_7
snap > {folder}/after
""",
    "fish": """
set -g NUM_GPUS 9
cd /; emit fish_prompt; snap > /dev/null; snap > {folder}/before; {line}
emit fish_prompt; cd {project}; emit fish_prompt; emit fish_prompt; cd {project}/..; emit fish_prompt; cd {project}
emit fish_prompt; echo '#' > {file}; emit fish_prompt; cd /; emit fish_prompt; snap > {folder}/after
""",
}
PLAY["bash"] = PLAY["bash"].replace("> before", "> {folder}/before").replace("> after", "> {folder}/after")
COMMAND = {
    "bash": ["bash", "--norc", "-i", "-c"],
    "zsh": ["zsh", "-f", "-i", "-c"],
    "fish": ["fish", "--no-config", "-i", "-c"],
}


def play(shell: str, hooked: Hooked, home: Path, line: str) -> tuple[list[str], list[str], str]:
    project = hooked.plain(home / "p", NUM_GPUS="2", SPECS_DIR="/s")
    script = SNAPSHOT[shell] + PLAY[shell].format(line=line, project=project, file=project / PROJECT_FILE, folder=home)
    done = subprocess.run(
        [*COMMAND[shell], script],
        env={**hooked.environment, "TAOWATCH_QUIET": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert "status is lost" not in done.stdout, done.stdout
    before, after = ((home / name).read_text().splitlines() for name in ("before", "after"))
    assert len(before) > 100, done.stderr
    return before, after, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_nothing_of_the_user_s_is_changed(shell: str, hooked: Hooked, home: Path) -> None:
    requires(shell)
    before, after, stderr = play(shell, hooked, home, hooked.line(shell))
    assert "not allowed any more" in stderr, "it did enter"
    assert sorted(set(before) ^ set(after)) == []


@pytest.mark.parametrize(
    ("shell", "line", "trace"),
    [
        ("bash", "trap - INT", "trap -- 'echo mine' SIGINT"),
        ("bash", "leaked=1", "leaked=1"),
        ("zsh", "leaked=1", "leaked=1 scalar"),
        ("fish", "set -g leaked 1", "leaked 1"),
    ],
)
def test_the_snapshot_sees_what_a_bad_hook_does(shell: str, line: str, trace: str, hooked: Hooked, home: Path) -> None:
    """Seen red: a hook that takes a trap, as direnv's does, or leaves a variable."""
    requires(shell)
    before, after, _ = play(shell, hooked, home, f"{hooked.line(shell)}\n{line}")
    assert trace in set(before) ^ set(after)
