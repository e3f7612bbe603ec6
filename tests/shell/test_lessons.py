"""What users of similar tools suffered from: one requirement each, numbered A1 to A12, in the real shells."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from taowatch.paths import PROJECT_FILE
from tests.shell.conftest import Hooked, each_shell
from tests.support.components import requires
from tests.support.terminal import CONTROL
from tests.support.waiting import wait_until

STRICT = {
    "bash": "set -euo pipefail; set -o noclobber; IFS=:_/; shopt -s nocasematch nullglob extglob",
    "zsh": "setopt err_exit no_unset no_clobber sh_word_split ksh_arrays null_glob; IFS=:_/",
    "fish": "set -g IFS :/_",
}
STATUS = {"bash": "(exit 7)", "zsh": "(exit 7)", "fish": "function seven; return 7; end; seven"}
SHOW_STATUS = {"bash": "echo $?", "zsh": "echo $?", "fish": "echo $status"}


# --- A1: the status of the user's last command ------------------------------------------------------


@each_shell
def test_a1_the_status_stays_what_it_was(shell: str, hooked: Hooked, home: Path) -> None:
    project = hooked.plain(home / "p", NUM_GPUS="2")
    tty = hooked.open(shell, cwd=project)
    tty.run(STATUS[shell])
    assert tty.run(SHOW_STATUS[shell]) == "7", "at an idle prompt"
    (project / PROJECT_FILE).write_text("#")
    assert "not allowed" in tty.run(STATUS[shell])
    assert tty.run(SHOW_STATUS[shell]) == "7", "at one where something was done"


SEEN = {
    "bash": ("", "mine() { printf 'saw %s' $?; }; PROMPT_COMMAND+=';mine'"),
    "zsh": ("", "mine() { print -rn saw $? }; precmd_functions+=(mine)"),
    "fish": ("", "function mine --on-event fish_prompt; printf 'saw %s' $status; end"),
}


@each_shell
def test_a1_a_prompt_function_after_ours_sees_it(shell: str, hooked: Hooked) -> None:
    tty = hooked.open(shell, *SEEN[shell])
    assert tty.run(STATUS[shell]) == "saw 7"


@each_shell
def test_a1_whoever_calls_the_hook_gets_it_back(shell: str, hooked: Hooked) -> None:
    tty = hooked.open(shell)
    assert tty.run(f"{STATUS[shell]}; __taowatch_hook; {SHOW_STATUS[shell]}") == "7"


# --- A2: PROMPT_COMMAND in all its forms -----------------------------------------------------------


FORMS = {
    "string": "PROMPT_COMMAND='echo mine'",
    "with a semicolon": "PROMPT_COMMAND='echo mine; '",
    "array": "PROMPT_COMMAND=('echo mine' 'echo other')",
    "like vte": "__vte_prompt_command() { echo mine; }; PROMPT_COMMAND='__vte_prompt_command'",
    "like starship": 'starship_precmd() { local s=$?; eval "${STARSHIP_PROMPT_COMMAND-}"; echo mine $s; };'
    ' STARSHIP_PROMPT_COMMAND="${PROMPT_COMMAND-}"; PROMPT_COMMAND=starship_precmd',
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("first", [True, False])
def test_a2_other_tools_keep_the_prompt_command(form: str, first: bool, hooked: Hooked, home: Path) -> None:
    project = hooked.plain(home / "p", NUM_GPUS="2")
    kept = FORMS[form] if first or "starship" in form else FORMS[form].replace("='", '="${PROMPT_COMMAND-};"\'')
    kept = kept if first else kept.replace("=(", "+=(")
    tty = hooked.open("bash", *((kept, "") if first else ("", kept)), cwd=home)
    assert tty.prompt().startswith("mine")
    said = tty.run(f"cd {project}").splitlines()
    assert "taowatch: p, 1 variables" in said
    assert any(line.startswith("mine") for line in said)
    if form == "array":
        assert "other" in said
        # An element of its own: bash keeps PIPESTATUS for the others.
        assert r'[0]="\"\${__taowatch_entry-:}\" && :" [1]="echo mine"' in tty.run("declare -p PROMPT_COMMAND")


def test_a2_direnv_and_taowatch_live_in_one_prompt(hooked: Hooked, home: Path) -> None:
    requires("direnv")
    project = hooked.plain(home / "p", NUM_GPUS="2")
    (project / ".envrc").write_text("export FROM_DIRENV=yes\n")
    for before, after in (('eval "$(direnv hook bash)"', ""), ("", 'eval "$(direnv hook bash)"')):
        tty = hooked.open("bash", before, after, cwd=home)
        subprocess.run(["direnv", "allow", str(project)], env=hooked.environment, check=True)
        tty.run(f"cd {project}")
        assert (tty.value("FROM_DIRENV"), tty.value("NUM_GPUS")) == ("yes", "2")
        tty.run("cd ..")
        assert (tty.value("FROM_DIRENV"), tty.value("NUM_GPUS")) == (None, None)


def test_a2_a_child_that_inherits_the_prompt_command_stays_quiet(hooked: Hooked, tmp_path: Path) -> None:
    tty = hooked.open("bash", after="set -a; PROMPT_COMMAND=$PROMPT_COMMAND; export PROMPT_COMMAND")
    (tmp_path / "bare").write_text(f"set -u; PS0={tty.begin!r} PS1={tty.ready!r}\n")
    assert tty.run(f"bash --noprofile --rcfile {tmp_path}/bare -i") == ""
    assert tty.prompt() == ""
    assert tty.run("declare -p PROMPT_COMMAND").startswith("declare -x PROMPT_COMMAND=")


@pytest.mark.parametrize("options", ["", "set -a"])
def test_a2_the_prompt_command_is_not_exported(options: str, hooked: Hooked) -> None:
    tty = hooked.open("bash", options)
    assert tty.run("declare -p PROMPT_COMMAND").startswith("declare -- ")
    assert tty.run("env | grep '^__taowatch'") == ""


@each_shell
def test_a2_evaluated_twice_it_runs_once(shell: str, hooked: Hooked, home: Path) -> None:
    project = hooked.plain(home / "p", NUM_GPUS="2")
    tty = hooked.open(shell, after=hooked.line(shell), cwd=project)
    assert tty.greeting == "taowatch: p, 1 variables"
    again = tty.run(hooked.line(shell))
    assert again in ("", "taowatch: p, 1 variables")
    count = {
        "bash": r"grep -o __taowatch_entry <<<$PROMPT_COMMAND | wc -l",
        "zsh": r"print ${#${(M)precmd_functions:#__taowatch_hook}}",
        "fish": r"functions --handlers-type generic | string match -r '^(?:fish_prompt )?.*__taowatch_hook' | count",
    }
    assert tty.run(count[shell]) == "1"
    assert tty.value("NUM_GPUS") == "2"
    tty.run("cd /")
    assert tty.value("NUM_GPUS") is None


# --- A3: strict options ----------------------------------------------------------------------------


@each_shell
def test_a3_strict_options_neither_complain_nor_kill(shell: str, hooked: Hooked, home: Path) -> None:
    one = hooked.plain(home / "One", NUM_GPUS="2", DATA_DIR="a:b_c/d *")
    two = hooked.plain(home / "oNE", NUM_GPUS="3")
    tty = hooked.open(shell, before=STRICT[shell], cwd=home)
    assert tty.greeting == ""
    for directory, number in ((one, "2"), (two, "3"), (one, "2")):
        assert tty.run(f"cd {directory}") == f"taowatch: {directory.name}, {2 if directory == one else 1} variables"
        assert tty.run("printenv NUM_GPUS") == number
    assert tty.run("printenv DATA_DIR") == "a:b_c/d *"
    hooked.alert("job moved")
    assert tty.prompt() == "taowatch: moved"
    hooked.alert()
    assert tty.prompt() == "taowatch: the conflict is over"
    (one / PROJECT_FILE).write_text("#")
    assert "not allowed" in tty.prompt()
    (one / PROJECT_FILE).unlink()
    tty.prompt()
    assert tty.run("printenv NUM_GPUS || echo none") == "none"
    if shell != "fish":
        # A status that is not zero, and yet no error: errexit would end the shell if the hook returned it.
        tty.run("false && true")
        assert tty.run("echo $? alive") == "1 alive"


def test_a3_the_hook_is_silent_and_harmless_in_a_script(hooked: Hooked) -> None:
    for shell in ("bash", "zsh"):
        requires(shell)
        script = f"set -eu; {hooked.line(shell)}; cd /; echo done"
        done = subprocess.run([shell, "-c", script], env=hooked.environment, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", ""), shell


# --- A4: traps ------------------------------------------------------------------------------------


def test_a4_traps_are_the_user_s(hooked: Hooked, home: Path) -> None:
    project = hooked.plain(home / "p", NUM_GPUS="2")
    mine = "trap 'echo int' INT; trap ': debug' DEBUG; trap 'echo err' ERR; set -E"
    tty = hooked.open("bash", before=mine, cwd=project)
    assert tty.greeting == "taowatch: p, 1 variables", "no ERR trap fires either"
    tty.run("cd /")
    assert re.findall(r"-- '(.*)' (?:SIG)?(\w+)", tty.run("trap -p")) == [
        ("echo int", "INT"), (": debug", "DEBUG"), ("echo err", "ERR"),
    ]  # fmt: skip


# --- A5: zsh runs cd on its own --------------------------------------------------------------------


def test_a5_completion_and_subshells_change_nothing(hooked: Hooked, home: Path) -> None:
    hooked.plain(home / "project-here", NUM_GPUS="2")
    outside = home / "outside"
    outside.mkdir()
    tty = hooked.open("zsh", before="autoload -Uz compinit && compinit -u -D", cwd=outside)
    tty.child.send("cd ../proj\t")
    tty.child.expect_exact("project-here/")
    assert "taowatch" not in tty.child.before
    tty.child.send("\x15")
    assert tty.run("echo $(cd ../project-here && printenv NUM_GPUS)") == ""
    assert tty.run("(cd ../project-here; printenv NUM_GPUS)") == ""
    assert tty.run("print $chpwd_functions") == ""


@each_shell
def test_a5_subshells_do_not_enter(shell: str, hooked: Hooked, home: Path) -> None:
    project = hooked.plain(home / "p", NUM_GPUS="2")
    tty = hooked.open(shell, cwd=home)
    command = f'cd {project}; echo "x$NUM_GPUS"'
    assert tty.run(f"fish --no-config -c '{command}'" if shell == "fish" else f"({command})") == "x"


# --- A6: fish's events and scopes ------------------------------------------------------------------


def test_a6_fish_sees_the_arrow_keys_and_its_first_prompt(hooked: Hooked, home: Path) -> None:
    project = hooked.plain(home / "p", NUM_GPUS="2")
    tty = hooked.open("fish", cwd=project)
    assert tty.greeting == "taowatch: p, 1 variables"
    tty.run("cd /")
    assert tty.value("NUM_GPUS") is None
    tty.child.send("\x1b[1;3D")  # alt and left: the directory before, without a new prompt
    tty.child.expect_exact(tty.ready)
    assert "NUM_GPUS=2" in tty.run("env | grep NUM_GPUS")


def test_a6_fish_keeps_scopes_and_lists_and_never_uses_the_universal_one(hooked: Hooked, home: Path) -> None:
    requires("fish")
    project = hooked.plain(home / "p", NUM_GPUS="2", DATA_DIR="/d", SPECS_DIR="/s")
    # Without --no-config, as with it there is no universal scope.
    script = f"""
        emit fish_prompt; echo MARK
        set -gu NUM_GPUS one two; set -gx DATA_DIR /mine; set -Ux SPECS_DIR /universal; set -U > {home}/before
        {hooked.line("fish")}
        cd {project}; emit fish_prompt; printenv SPECS_DIR NUM_GPUS; set -U | diff {home}/before -
        cd /; emit fish_prompt; count $NUM_GPUS; set -q -g -u NUM_GPUS; and echo unexported
        printenv DATA_DIR SPECS_DIR; set -q -g SPECS_DIR; or echo only universal; set -U | diff {home}/before -
    """
    done = subprocess.run(
        ["fish", "--private", "-i", "-c", script], env=hooked.environment, capture_output=True, text=True, timeout=20
    )
    assert CONTROL.sub("", done.stdout.partition("MARK")[2]).split() == [
        "/s",
        "2",
        "2",
        "unexported",
        "/mine",
        "/universal",
        "only",
        "universal",
    ]
    assert done.stderr == "taowatch: p, 3 variables\n"


# --- A7: leaving -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a7_leaving_restores_what_stood_there(shell: str, hooked: Hooked, home: Path) -> None:
    project = hooked.plain(home / "p", NUM_GPUS="2", DATA_DIR="/d", SPECS_DIR="/s", RESULTS_DIR="/r", KEY="k")
    mine = "NUM_GPUS='8  x'; export DATA_DIR='/m  y'; RESULTS_DIR=; readonly KEY=fixed"
    tty = hooked.open(shell, before=mine, cwd=home)
    assert tty.run(f"cd {project}").splitlines() == [
        "taowatch: left alone, as this shell has them readonly or typed: KEY",
        "taowatch: p, 4 variables",
    ]
    assert (tty.value("NUM_GPUS"), tty.value("DATA_DIR"), tty.value("KEY")) == ("2", "/d", None)
    tty.run("cd /")
    assert (tty.value("NUM_GPUS"), tty.value("DATA_DIR"), tty.value("SPECS_DIR")) == (None, "/m  y", None)
    assert tty.run('echo "[$NUM_GPUS] [${RESULTS_DIR-unset}] [${SPECS_DIR-unset}] $KEY"') == "[8  x] [] [unset] fixed"


@each_shell
def test_a7_what_the_user_changed_inside_stays(shell: str, hooked: Hooked, home: Path) -> None:
    project = hooked.plain(home / "p", NUM_GPUS="2", DATA_DIR="/d")
    tty = hooked.open(shell, cwd=project)
    tty.run("set -gx NUM_GPUS 4; set -e DATA_DIR" if shell == "fish" else "export NUM_GPUS=4; unset DATA_DIR")
    tty.run("cd /")
    assert (tty.value("NUM_GPUS"), tty.value("DATA_DIR")) == ("4", None)


# --- A8: inherited environments -------------------------------------------------------------------


@each_shell
@pytest.mark.parametrize("child", ["bash", "zsh", "fish"])
def test_a8_a_nested_shell_takes_back_what_its_parent_set(shell: str, child: str, hooked: Hooked, home: Path) -> None:
    odd = "a|b%7C \"c\" \\ 'd' $HOME"
    project = hooked.plain(home / "p", NUM_GPUS="2", DATA_DIR="/d|%25", SPECS_DIR="/s", KEY="k")
    tty = hooked.open(shell, cwd=project, DATA_DIR=odd)
    inherited = {}
    for line in tty.run(
        "env -0 | tr '\\n\\0' '\\0\\n' | grep -E '^(TAOWATCH_[PS]|NUM_|DATA_|SPECS_|KEY)'"
    ).splitlines():
        name, _, value = line.partition("=")
        inherited[name] = value.replace("\0", "\n")
    inherited["KEY"] = "changed by hand"
    nested = hooked.open(child, cwd=project, **inherited)
    assert nested.greeting == "", "its parent said it"
    assert nested.value("NUM_GPUS") == "2"
    nested.run("cd /")
    assert (nested.value("NUM_GPUS"), nested.value("SPECS_DIR")) == (None, None)
    assert nested.value("DATA_DIR") == odd
    assert nested.value("TAOWATCH_PROJECT") is None
    elsewhere = hooked.open(child, cwd=home, **inherited)
    assert (elsewhere.value("NUM_GPUS"), elsewhere.value("KEY")) == (None, "changed by hand")


def test_a8_tmux_started_in_a_project_gives_clean_shells_elsewhere(hooked: Hooked, home: Path) -> None:
    requires("tmux")
    project = hooked.plain(home / "p", NUM_GPUS="2")
    rcfile = home / "rc"
    rcfile.write_text(hooked.line("bash"))
    tty = hooked.open("bash", cwd=project)
    socket, seen = home / "tmux", home / "seen"
    started = tty.run(f"tmux -S {socket} -f /dev/null new-session -d -c {home} 'bash --rcfile {rcfile} -i'")
    try:
        assert started == ""
        keys = f"env > {seen}.new; mv {seen}.new {seen}"
        tty.run(f"tmux -S {socket} send-keys '{keys}' Enter")
        wait_until(seen.exists, 10, "the shell in tmux")
        assert "NUM_GPUS" not in seen.read_text()
    finally:
        tty.run(f"tmux -S {socket} kill-server")


# --- A10: cost and noise --------------------------------------------------------------------------


@each_shell
def test_a10_no_prompt_forks(shell: str, hooked: Hooked, home: Path, tmp_path: Path) -> None:
    requires("strace")
    one, two = hooked.plain(home / "one", NUM_GPUS="1"), hooked.plain(home / "two", NUM_GPUS="2")
    tty = hooked.open(shell, cwd=home)
    trace = tmp_path / "trace"
    strace = subprocess.Popen(
        ["strace", "-f", "-e", "trace=clone,clone3,fork,vfork,execve", "-o", str(trace), "-p", str(tty.pid)],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert strace.stderr is not None
        assert "attached" in strace.stderr.readline()
        for command in ("", f"cd {one}", "", f"cd {two}", "", "cd /", ""):
            tty.run(command) if command else tty.prompt()
        (one / PROJECT_FILE).write_text("#")
        tty.run(f"cd {one}")
        (home / "link").symlink_to(two)
        tty.run(f"cd {home}/link")
        hooked.alert("job moved")
        assert tty.prompt() == "taowatch: moved"
        hooked.alert()
        tty.prompt()
        # Seen red: a command that does fork.
        before = _forks(trace)
        tty.run("command ls / > /dev/null")
        wait_until(lambda: _forks(trace) > before, 5, "the fork of ls")
    finally:
        strace.terminate()
        strace.wait()
    assert before == 0, trace.read_text()


def _forks(trace: Path) -> int:
    calls = re.findall(r"^.*\b(?:clone3?|v?fork)\(.*$", trace.read_text(), re.MULTILINE)
    return len([call for call in calls if "CLONE_THREAD" not in call])


@each_shell
def test_a10_nothing_is_printed_while_the_startup_file_runs(shell: str, hooked: Hooked, home: Path) -> None:
    project = hooked.plain(home / "p", NUM_GPUS="2")
    tty = hooked.open(shell, before="echo first", after="echo last", cwd=project)
    assert tty.greeting.splitlines() == ["first", "last", "taowatch: p, 1 variables"]


def test_a10_the_instant_prompt_of_powerlevel10k_gets_no_line_but_the_variables(hooked: Hooked, home: Path) -> None:
    project = hooked.plain(home / "p", NUM_GPUS="2")
    hooked.alert("job moved")
    # What it does itself: set until its own last function before the first prompt.
    p10k = "typeset -gi __p9k_instant_prompt_active=1; ended() { unset __p9k_instant_prompt_active }"
    tty = hooked.open("zsh", before=p10k, after="precmd_functions+=(ended)", cwd=project)
    assert tty.greeting == ""
    assert "NUM_GPUS=2" in tty.run("env | grep GPUS; echo").splitlines()
    assert tty.prompt() == ""
    fresh = hooked.open("zsh", before=p10k, after="precmd_functions+=(ended)", cwd=project)
    assert fresh.prompt().splitlines() == ["taowatch: p, 1 variables", "taowatch: moved"]


# --- A11: aliases and functions --------------------------------------------------------------------


SHADOWED = (
    *("cd", "test", "source", "builtin", "local", "export", "read", "printf", "return", "shift"),
    *("emulate", "declare", "mapfile", "complete", "trap"),
)


def _shadows(shell: str) -> str:
    if shell == "fish":
        # fish refuses functions with the names of its own words; these can be taken.
        return "\n".join(f"function {name}; echo shadowed; end" for name in ("math", "pwd", "contains", "count"))
    functions = "\n".join(f"{name}() {{ echo shadowed; }}" for name in ("test", "printf", "read", "source", "shift"))
    return f"{functions}\n" + "\n".join(f"alias {name}='echo shadowed'" for name in SHADOWED)


@each_shell
def test_a11_aliases_and_functions_do_not_reach_the_hook(shell: str, hooked: Hooked, home: Path) -> None:
    project = hooked.plain(home / "p", NUM_GPUS="2")
    tty = hooked.open(shell, before=_shadows(shell), cwd=project)
    assert tty.greeting == "taowatch: p, 1 variables"
    hooked.alert("job moved")
    assert tty.prompt() == "taowatch: moved"
    (project / PROJECT_FILE).write_text("#")
    assert "shadowed" not in tty.prompt()
    assert tty.run("command printenv NUM_GPUS") == ""


# --- A12: trust ------------------------------------------------------------------------------------


@each_shell
def test_a12_a_copy_of_an_allowed_project_is_not_allowed(shell: str, hooked: Hooked, home: Path) -> None:
    project = hooked.project(home / "p")
    copy = home / "copy"
    copy.mkdir()
    (copy / PROJECT_FILE).write_bytes((project / PROJECT_FILE).read_bytes())
    tty = hooked.open(shell, cwd=copy)
    assert (tty.greeting, tty.value("TAOWATCH_PROJECT")) == ("", None)


def test_a12_a_file_that_others_can_write_is_refused(hooked: Hooked, home: Path) -> None:
    project = hooked.project(home / "p")
    (project / PROJECT_FILE).chmod(0o666)
    with pytest.raises(Exception, match="can be written by others"):
        hooked.project(project)


def test_a12_nothing_but_names_can_stand_in_a_snippet(hooked: Hooked, home: Path) -> None:
    for name in ("A;touch x", "a b", "", "1A", "A\n"):
        with pytest.raises(ValueError, match="no name of a variable"):
            hooked.plain(home / "p", **{name: "x"})


def test_a12_snippets_are_the_user_s_alone(hooked: Hooked, home: Path) -> None:
    hooked.plain(home / "p", NUM_GPUS="2")
    found = [hooked.paths.state, *hooked.paths.state.rglob("*")]
    assert len([path for path in found if path.is_file()]) == 5
    assert [path for path in found if path.stat().st_mode & 0o077] == []


# --- a login shell, a home with spaces -------------------------------------------------------------


def test_a_login_shell_in_a_home_with_spaces(hooked: Hooked, tmp_path: Path, environment: dict[str, str]) -> None:
    home = tmp_path / "a  home"
    state, runtime = home / "state", tmp_path / "run time"
    runtime.mkdir(mode=0o700)
    home.mkdir()
    environment.update(HOME=str(home), XDG_STATE_HOME=str(state), XDG_RUNTIME_DIR=str(runtime))
    moved = Hooked(environment, hooked._terminal, tmp_path)
    project = moved.plain(home / "my tao", NUM_GPUS="2")
    (home / ".bash_profile").write_text(moved.line("bash"))
    (home / ".profile").touch()
    tty = moved.open("bash", cwd=project)
    assert tty.greeting == "taowatch: my tao, 1 variables"
    marks = f"PS0={tty.begin!r} PS1={tty.ready!r}"
    tty.run("cd /")
    with (home / ".bash_profile").open("a") as profile:
        profile.write(f"\n{marks}\n")
    assert tty.run("bash -l") == ""
    assert tty.run(f"cd '{project}'") == "taowatch: my tao, 1 variables"
    moved.alert("job moved")
    assert tty.prompt() == "taowatch: moved"


# --- every option there is ------------------------------------------------------------------------

OPTIONS = {
    "zsh": """
zmodload zsh/parameter
for option in ${{(ok)options}}; do
  case $option in
    (exec|restricted|singlecommand|onecmd|interactive|zle|login|shinstdin|stdin|monitor) ;;
    (privileged|verbose|xtrace|sourcetrace) ;;
    (*) (
      [[ $options[$option] = on ]] && unsetopt $option || setopt $option
      eval "$(<{file})"
      builtin cd {project}; __taowatch_hook; echo "$option $NUM_GPUS $DATA_DIR"
      builtin cd /; __taowatch_hook; echo "$option ${{NUM_GPUS-none}}"
    ) ;;
  esac
done
""",
    "bash": """
flip() {{
  (
    "${{@:2}}" >/dev/null 2>&1 || exit 0
    eval "$(<{file})"
    builtin cd {project}; __taowatch_hook; echo "$1 $NUM_GPUS $DATA_DIR"
    builtin cd /; __taowatch_hook; echo "$1 ${{NUM_GPUS-none}}"
  )
}}
while read -r option state; do
  case $option in restricted_shell | login_shell) continue ;; esac
  if [[ $state == on ]]; then flip "$option" shopt -u "$option"; else flip "$option" shopt -s "$option"; fi
done < <(shopt)
while read -r option state; do
  case $option in noexec | onecmd | privileged | verbose | xtrace | monitor) continue ;; esac
  if [[ $state == on ]]; then flip "$option" set +o "$option"; else flip "$option" set -o "$option"; fi
done < <(set -o)
""",
}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a3_each_option_of_the_shell_alone(shell: str, hooked: Hooked, home: Path, tmp_path: Path) -> None:
    requires(shell)
    project = hooked.plain(home / "p", NUM_GPUS="2", DATA_DIR="it's")
    hooked.line(shell)
    script = OPTIONS[shell].format(file=tmp_path / f"hook.{shell}", project=project)
    command = {"bash": ["bash", "--norc", "-i", "-c"], "zsh": ["zsh", "-f", "-i", "-c"]}[shell]
    done = subprocess.run(
        [*command, script],
        env={**hooked.environment, "TAOWATCH_QUIET": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) > 100
    pairs = list(zip(lines[::2], lines[1::2], strict=True))
    assert [pair for pair in pairs if not (pair[0].endswith(" 2 it's") and pair[1].endswith(" none"))] == []
    assert [
        line for line in done.stderr.splitlines() if "job control" not in line and "process group" not in line
    ] == []
