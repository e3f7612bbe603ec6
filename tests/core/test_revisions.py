"""However often a file was rewritten, the revision that a job holds is still there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taowatch.core.model import Revision
from taowatch.core.revisions import thin


def revision(number: int, source: int | None) -> Revision:
    binds = None if source is None else (("/workspace", f"/{source}"),)
    return Revision(number, "/f", str(number), float(number), binds)


@given(st.lists(st.none() | st.integers(0, 5), max_size=60), st.integers(6, 20))
def test_the_newest_of_each_mapping_stays(sources: list[int | None], limit: int) -> None:
    every = [revision(number, source) for number, source in enumerate(sources)]
    kept = thin(every, limit)
    assert list(kept) == sorted(kept, key=lambda r: r.number)
    assert every[-limit:] == list(kept)[-min(limit, len(every)) :]
    newest = {r.binds: r for r in every if r.binds is not None}
    assert set(newest.values()) <= set(kept)
    assert len(kept) <= 2 * limit
    assert thin(kept, limit) == kept


def test_mappings_without_end_do_not_fill_the_memory() -> None:
    assert len(thin([revision(number, number) for number in range(1000)], 10)) == 20
