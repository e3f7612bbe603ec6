"""Waiting for a condition with a deadline, so that no test sleeps for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class TooLate(AssertionError):
    """The condition did not come true before the deadline."""


def wait_until(
    condition: Callable[[], T],
    timeout: float = 10.0,
    message: str | Callable[[], str] = "the condition",
    pause: float = 0.01,
) -> T:
    """The first true value of `condition`; a callable message is built at the deadline."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            reason = message() if callable(message) else message
            raise TooLate(f"waited {timeout:g} s in vain for {reason}")
        time.sleep(pause)
    return value
