"""A disk that is slower than the notebooks: what is kept is what the file said, in that order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taowatch.core.effects import KeepRevision
from taowatch.core.events import RevisionKept
from taowatch.core.model import Revision
from taowatch.core.state import State, step
from tests.core.test_step import FILE, changed


@given(st.lists(st.one_of(st.sampled_from("ABC"), st.just("kept")), max_size=30))
def test_each_change_is_kept_however_late_the_disk_is(happened: list[str]) -> None:
    state, waiting, kept, said = State(FILE, "/home/u"), [], [], []

    def keep() -> None:
        nonlocal state
        asked = waiting.pop(0)
        if not kept or kept[-1].digest != asked.digest:  # as the history does
            kept.append(Revision(len(kept) + 1, FILE, asked.digest, asked.written_at, asked.binds))
        state, _ = step(state, RevisionKept(kept[-1]), 0.0)

    for number, what in enumerate(happened):
        if what == "kept":
            if waiting:
                keep()
            continue
        said.append(what)
        state, effects = step(state, changed({"/w": f"/home/u/{what}"}, float(number)), float(number))
        waiting += [effect for effect in effects if isinstance(effect, KeepRevision)]
    while waiting:
        keep()
    changes = [what for number, what in enumerate(said) if number == 0 or said[number - 1] != what]
    assert [dict(revision.binds or ())["/w"][-1] for revision in kept] == changes
    if said:
        assert state.files[FILE].revision == len(changes)
