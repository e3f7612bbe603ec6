"""The texts that `taowatch install` writes into files of the user's, and how they are known again.

Each carries a mark of its own content. A text with a true mark is ours to replace or to remove; one that somebody
changed by hand is left as it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from taowatch.core.quoting import bash, fish

OURS, CHANGED, THEIRS = "ours", "changed by hand", "not written by taowatch"

_BLOCK = re.compile(
    r"^# >>> taowatch ([0-9a-f]{8}) >>>[^\n]*\n(.*?)^# <<< taowatch <<<(?:\n|\Z)", re.DOTALL | re.MULTILINE
)
_HEADER = re.compile(r"\A# Written by `taowatch install` \(([0-9a-f]{8})\)[^\n]*\n")


def block(body: str) -> str:
    """`body` between markers, for a file that is not ours alone."""
    return f"# >>> taowatch {_mark(body)} >>> (`taowatch uninstall` removes these lines)\n{body}# <<< taowatch <<<\n"


def with_block(text: str, body: str) -> str:
    """`text` with our block, once: in its old place, else at the end. A block that was changed by hand stays."""
    found = _BLOCK.search(text)
    if found is None:
        if whose_block(text) is not None:
            return text
        return text + ("\n" if text and not text.endswith("\n") else "") + block(body)
    if _mark(found[2]) != found[1]:
        return text
    return text[: found.start()] + block(body) + text[found.end() :]


def without_block(text: str) -> str:
    """`text` without what stands between our markers."""
    return _BLOCK.sub("", text)


def whose_block(text: str) -> str | None:
    """OURS, CHANGED or THEIRS (a hook line without markers), or None where a shell's file has no taowatch in it."""
    found = _BLOCK.search(text)
    if found is not None:
        return OURS if _mark(found[2]) == found[1] else CHANGED
    if "# >>> taowatch " in text:
        return CHANGED
    lines = (line.strip() for line in text.splitlines())
    return THEIRS if any("taowatch hook " in line and not line.startswith("#") for line in lines) else None


def headed(body: str, more: str = "") -> str:
    """`body` as a file of ours alone."""
    return f"# Written by `taowatch install` ({_mark(body)}){more}\n{body}"


def whose_file(text: str) -> str:
    """OURS, CHANGED or THEIRS."""
    found = _HEADER.match(text)
    if found is None:
        return THEIRS
    return OURS if _mark(text[found.end() :]) == found[1] else CHANGED


def hook_lines(shell: str, command: Sequence[str], start: bool) -> str:
    """What a shell's startup file does: the hook, silently nothing where the program is gone (an upgraded Python).

    With `start`, also the daemon, where no service manager does: one process at most, because of its lock.
    """
    quote = fish if shell == "fish" else bash
    program, test = " ".join(quote(word) for word in command), f"test -x {quote(command[0])}"
    if shell == "fish":
        # Through sh, because fish itself would complain of a program that cannot be run.
        silent = 'sh -c \'"$0" "$@" 2>/dev/null\''
        background = f"    {silent} {program} daemon --detach >/dev/null </dev/null &\n" if start else ""
        return f"if {test}\n    {silent} {program} hook fish | source\n{background}end\n"
    background = f"    ({program} daemon --detach >/dev/null 2>&1 </dev/null &)\n" if start else ""
    return f'if {test}; then\n    eval "$({program} hook {shell} 2>/dev/null)"\n{background}fi\n'


def unit(template: str, command: Sequence[str], environment: Mapping[str, str]) -> str:
    """The user unit that runs `command daemon`, with what the service would not inherit from a shell."""
    start = " ".join(_unit_word(word) for word in (*command, "daemon"))
    lines = [
        f"Environment={_unit_word(f'{name}={value}', command=False)}" for name, value in sorted(environment.items())
    ]
    text = re.sub(r"(?m)^ExecStart=.*$", lambda _: "\n".join([f"ExecStart={start}", *lines]), template)
    return headed(text, ". Changes of yours belong in `systemctl --user edit taowatch`.")


def autostart_entry(command: Sequence[str]) -> str:
    """A desktop's own way to start a program with the session (XDG autostart)."""
    words = " ".join(_desktop_word(word) for word in (*command, "daemon", "--detach"))
    return headed(
        "[Desktop Entry]\nType=Application\nName=taowatch\nComment=Watches the folders of NVIDIA TAO trainings\n"
        f"Exec={words}\nNoDisplay=true\nX-GNOME-Autostart-enabled=true\n"
    )


def _unit_word(word: str, command: bool = True) -> str:
    # systemd.service(5): specifiers begin with %, in command lines variables with $; C escapes within quotes.
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    if command:
        word = word.replace("$", "$$")
    return f'"{word}"' if re.search(r"[\s'\"\\;]", word) else word


def _desktop_word(word: str) -> str:
    if re.fullmatch(r"[\w@+=:,./-]+", word):
        return word
    # Quoted for the Exec line first, then as a string of the file; % begins a field code.
    quoted = re.sub(r'(["`$\\])', r"\\\1", word).replace("%", "%%")
    return '"' + quoted.replace("\\", "\\\\") + '"'


def _mark(body: str) -> str:
    return hashlib.sha256(body.encode("utf-8", "surrogateescape")).hexdigest()[:8]
