"""What install writes: put in once, known again, taken out without a trace, and never over a change by hand."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taowatch.core import setup

TEXTS = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
)
BODY = setup.hook_lines("bash", ["/opt/tw/bin/taowatch"], start=False)


@given(TEXTS)
def test_a_block_goes_in_once_and_out_again(text: str) -> None:
    within = setup.with_block(text, BODY)
    assert setup.with_block(within, BODY) == within
    assert setup.whose_block(within) == setup.OURS
    assert setup.without_block(within) == text + ("\n" if text and not text.endswith("\n") else "")


@given(TEXTS.filter(lambda text: not text or text.endswith("\n")), TEXTS)
def test_a_new_block_takes_the_old_ones_place(before: str, after: str) -> None:
    text = before + setup.block("old\n") + after
    assert setup.with_block(text, BODY) == before + setup.block(BODY) + after


def test_what_was_changed_by_hand_stays() -> None:
    text = setup.block(BODY).replace("hook bash", "hook bash --mine")
    assert setup.whose_block(text) == setup.CHANGED
    assert setup.with_block(text, BODY) == text
    broken = setup.block(BODY).replace("# <<< taowatch <<<\n", "")
    assert setup.whose_block(broken) == setup.CHANGED
    assert setup.with_block(broken, BODY) == broken
    assert setup.whose_block('eval "$(taowatch hook bash)"\n') == setup.THEIRS
    assert setup.whose_block('# eval "$(taowatch hook bash)"\n') is None


def test_a_file_tells_whose_it_is() -> None:
    made = setup.unit("[Service]\nExecStart=x\n", ["/bin/tw"], {})
    assert setup.whose_file(made) == setup.OURS
    assert setup.whose_file(made + "# more\n") == setup.CHANGED
    assert setup.whose_file("[Service]\n") == setup.THEIRS


def test_hostile_paths_are_words() -> None:
    words = ["/home/a b/$x%h\"'\\/taowatch"]
    unit = setup.unit("ExecStart=x\n", words, {"DOCKER_HOST": "unix:///a b%"})
    assert 'ExecStart="/home/a b/$$x%%h\\"\'\\\\/taowatch" daemon' in unit
    assert 'Environment="DOCKER_HOST=unix:///a b%%"' in unit
    for shell in ("bash", "zsh"):
        line = setup.hook_lines(shell, words, start=True).splitlines()[0]
        assert shlex.split(line.removesuffix("; then"))[-1] == words[0]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_lines_are_silent_where_the_program_is_gone(shell: str, tmp_path: Path) -> None:
    broken = tmp_path / "taowatch"
    broken.write_text("#!/nonexistent/python\n")
    broken.chmod(0o755)
    for program in (tmp_path / "not there", broken):
        text = setup.hook_lines(shell, [str(program)], start=True)
        try:
            done = subprocess.run([shell, "-c", f"{text}\necho fine"], capture_output=True, text=True, timeout=20)
        except FileNotFoundError:
            pytest.skip(f"{shell} is not installed")
        assert (done.stdout, done.stderr) == ("fine\n", "")
