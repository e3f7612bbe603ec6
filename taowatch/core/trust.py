"""Who else may change a file or directory that we are to trust."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ownership:
    """What the file system says of a path."""

    mode: int
    uid: int
    group_is_private: bool
    """Nobody but its owner is in its group, as with the groups that many distributions make for each user."""


def writable_by_others(found: Ownership, uid: int) -> bool:
    """Whether anybody but this user and root may change what lies there."""
    by_group = bool(found.mode & 0o020) and not found.group_is_private
    return found.uid not in (uid, 0) or bool(found.mode & 0o002) or by_group
