"""Which revisions are worth keeping when there are too many."""

from __future__ import annotations

from collections.abc import Sequence

from taowatch.core.model import Revision


def thin(revisions: Sequence[Revision], limit: int) -> tuple[Revision, ...]:
    """Of revisions from old to new: the newest `limit`, and of the older ones the newest of each mapping.

    A job may hold a mapping while the file is rewritten any number of times; by its revision the job is known, and to
    it the file is restored. Of older mappings too there are at most `limit`.
    """
    older, recent = revisions[:-limit], revisions[-limit:]
    have = {(revision.path, revision.binds) for revision in recent}
    kept: list[Revision] = []
    for revision in reversed(older):
        mapping = (revision.path, revision.binds)
        if revision.binds is not None and mapping not in have and len(kept) < limit:
            have.add(mapping)
            kept.append(revision)
    return (*reversed(kept), *recent)
