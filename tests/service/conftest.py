"""A real user manager for the tests of the service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import components
from tests.support.service_manager import UserManager


@pytest.fixture
def manager(environment: dict[str, str]) -> Iterator[UserManager]:
    """A running `systemd --user` for the scratch home."""
    components.requires("systemd")
    environment["SHELL"] = "/bin/bash"
    made = UserManager(environment)
    made.start()
    yield made
    made.stop()
