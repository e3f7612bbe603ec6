"""The one error that people see."""

from __future__ import annotations

FAILED, USAGE, NO_DAEMON, BAD_CONFIG = 1, 2, 3, 78
"""Exit codes of DESIGN.md; 78 is sysexits' EX_CONFIG, after which the service is not started again."""


class TaowatchError(Exception):
    """What is wrong (`title`, with the where) and what to do about it (`hint`)."""

    def __init__(self, title: str, hint: str = "", code: int = FAILED) -> None:
        super().__init__(title)
        self.title = title
        self.hint = hint
        self.code = code

    def __str__(self) -> str:
        return f"{self.title}; {self.hint}" if self.hint else self.title
