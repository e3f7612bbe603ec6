"""Folders on a real file system: what a job holds must stay what it is; what a file maps must be there."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from taowatch.core.events import Event, FoldersChanged
from taowatch.sources.folders import FoldersSource


class Watched:
    def __init__(self) -> None:
        self.last = FoldersChanged(frozenset(), frozenset())
        self.source = FoldersSource(self._take)

    def _take(self, event: Event) -> None:
        assert isinstance(event, FoldersChanged)
        self.last = event

    async def until(self, condition: Callable[[FoldersChanged], bool]) -> None:
        for _ in range(500):
            if condition(self.last):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.last)


@asynccontextmanager
async def watching() -> AsyncIterator[Watched]:
    watched = Watched()
    watched.source.start()
    try:
        yield watched
    finally:
        watched.source.stop()


def test_a_held_folder_that_is_deleted_and_made_anew_is_lost(tmp_path: Path) -> None:
    async def play() -> None:
        folder = tmp_path / "results"
        folder.mkdir()
        async with watching() as watched:
            watched.source.watch([], [("job", str(folder))])
            shutil.rmtree(folder)
            await watched.until(lambda told: str(folder) in told.lost and str(folder) in told.absent)
            folder.mkdir()
            await watched.until(lambda told: str(folder) not in told.absent)
            assert watched.last.lost == {str(folder)}

    asyncio.run(play())


def test_a_folder_that_was_cleaned_between_two_jobs_is_not_lost(tmp_path: Path) -> None:
    async def play() -> None:
        folder = tmp_path / "results"
        folder.mkdir()
        async with watching() as watched:
            watched.source.watch([str(folder)], [("first", str(folder))])
            watched.source.watch([str(folder)], [])
            shutil.rmtree(folder)
            await watched.until(lambda told: str(folder) in told.absent)
            folder.mkdir()
            await watched.until(lambda told: not told.absent)
            watched.source.watch([str(folder)], [("second", str(folder))])
            watched.source.look_again()
            assert watched.last == FoldersChanged(frozenset(), frozenset())

    asyncio.run(play())


def test_a_folder_above_that_is_moved_away_and_back(tmp_path: Path) -> None:
    async def play() -> None:
        folder = tmp_path / "tao/project/data"
        folder.mkdir(parents=True)
        async with watching() as watched:
            watched.source.watch([], [("job", str(folder))])
            (tmp_path / "tao").rename(tmp_path / "elsewhere")
            await watched.until(lambda told: str(folder) in told.lost)
            (tmp_path / "elsewhere").rename(tmp_path / "tao")
            await watched.until(lambda told: not told.lost)

    asyncio.run(play())
