"""`taowatch hook SHELL`: the hook with this user's paths filled in. Each new shell runs it, so it imports little."""

from __future__ import annotations

import os
from pathlib import Path

from taowatch.core.quoting import bash
from taowatch.errors import USAGE, TaowatchError
from taowatch.paths import Paths

SHELLS = ("bash",)


def hook(paths: Paths, shell: str) -> bytes:
    """The text to evaluate. Raises TaowatchError for a shell that has no hook."""
    if shell not in SHELLS:
        raise TaowatchError(f"there is no hook for {shell}", f"there is one for {', '.join(SHELLS)}", USAGE)
    text = (Path(__file__).parent.parent / "shell" / f"hook.{shell}").read_bytes()
    text = text.replace(b"@SNIPPETS@", os.fsencode(bash(str(paths.snippets))))
    return text.replace(b"@RUNTIME@", os.fsencode(bash(str(paths.runtime))))
