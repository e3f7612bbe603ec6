"""The heart: step(state, event) -> (state, effects).

An event changes the facts (files, containers, launchers, revisions); jobs, conflicts and alerts follow from the facts;
the user's policy may answer a new conflict; and the effects are the difference between what was and what is.
"""

from __future__ import annotations

from taowatch.core import events
from taowatch.core.changes import apply
from taowatch.core.consequences import differences, follow, wanted_files
from taowatch.core.effects import Effect
from taowatch.core.facts import CONNECTED, Moment, State
from taowatch.core.policy import answer

__all__ = ["CONNECTED", "Moment", "State", "step", "wanted_files"]


def step(state: State, event: events.Event, now: float) -> tuple[State, list[Effect]]:
    """What the state becomes through an event at `now` (seconds since the epoch), and what is to be done."""
    facts, asked = apply(state, event, now)
    after, answered = answer(state, follow(facts, now), now)
    # The warnings first: what is kept on disk can wait for them, they cannot wait for a disk. A restore comes last, so
    # that what it replaces is in the history before.
    return after, differences(state, after) + asked + answered
