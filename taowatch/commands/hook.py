"""`taowatch hook SHELL`: the hook with this user's paths filled in. Each new shell runs it, so it imports little."""

from __future__ import annotations

import os

from taowatch.core.quoting import bash, fish
from taowatch.errors import USAGE, TaowatchError
from taowatch.paths import Paths

SHELLS = {"bash": bash, "zsh": bash, "fish": fish}


def hook(paths: Paths, shell: str) -> bytes:
    """The text to evaluate. Raises TaowatchError for a shell that has no hook."""
    quote = SHELLS.get(shell)
    if quote is None:
        raise TaowatchError(f"there is no hook for {shell}", f"there is one for {', '.join(SHELLS)}", USAGE)
    with open(os.path.join(os.path.dirname(__file__), "..", "shell", f"hook.{shell}"), "rb") as file:
        text = file.read()
    # Split first: a directory may be called @RUNTIME@.
    head, _, rest = text.partition(b"@SHELL@")
    middle, _, tail = rest.partition(b"@RUNTIME@")
    words = [os.fsencode(quote(str(path))) for path in (paths.snippets, paths.runtime)]
    return b"".join([head, words[0], middle, words[1], tail])
