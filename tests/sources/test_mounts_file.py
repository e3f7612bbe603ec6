"""The watcher on a real file system: every way in which people and programs change a file."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from taowatch.core.events import Event, MappingChanged
from taowatch.core.model import INVALID, MISSING, OK
from taowatch.sources.mounts_file import SETTLE, MountsFileSource


class Watched:
    """The source, and what it reported."""

    def __init__(self, file: Path, home: Path) -> None:
        self.seen: list[MappingChanged] = []
        self.source = MountsFileSource(file, home, self._take, lambda: ((), ()))

    def _take(self, event: Event) -> None:
        if isinstance(event, MappingChanged):
            self.seen.append(event)

    @property
    def last(self) -> MappingChanged:
        return self.seen[-1]

    async def until(self, condition: Callable[[], bool], timeout: float = 5.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, [(e.state, e.error, e.mapping.binds()) for e in self.seen]
            await asyncio.sleep(0.005)

    async def until_bind(self, source: Path) -> None:
        await self.until(lambda: self.last.state == OK and list(self.last.mapping.binds().values()) == [str(source)])


@asynccontextmanager
async def watching(file: Path, home: Path) -> AsyncIterator[Watched]:
    watched = Watched(file, home)
    watched.source.start()
    try:
        yield watched
    finally:
        watched.source.stop()


def text(source: Path) -> str:
    source.mkdir(parents=True, exist_ok=True)
    return json.dumps({"Mounts": [{"source": str(source), "destination": "/workspace"}]})


def in_place(file: Path, content: str) -> None:
    file.write_text(content)


def renamed_over(file: Path, content: str) -> None:
    other = file.with_name("other.tmp")
    other.write_text(content)
    os.replace(other, file)


def moved_in(file: Path, content: str) -> None:
    other = file.parent.parent / "from elsewhere"
    other.write_text(content)
    os.replace(other, file)


def deleted_and_made(file: Path, content: str) -> None:
    file.unlink(missing_ok=True)
    file.write_text(content)


def linked(file: Path, content: str) -> None:
    other = file.with_name("linked.tmp")
    other.write_text(content)
    file.unlink(missing_ok=True)
    os.link(other, file)


def kept_open(file: Path, content: str) -> None:
    out = open(file, "w")  # noqa: SIM115 (stays open on purpose)
    out.write(content)
    out.flush()
    kept_open.files = [*getattr(kept_open, "files", []), out]  # type: ignore[attr-defined]


WAYS = [in_place, renamed_over, moved_in, deleted_and_made, linked, kept_open]


@pytest.mark.parametrize("write", WAYS)
def test_each_way_of_writing_is_seen_again_and_again(write: Callable[[Path, str], None], home: Path) -> None:
    async def play() -> None:
        file = home / ".tao_mounts.json"
        async with watching(file, home) as watched:
            assert watched.last.state == MISSING
            for number in range(4):
                write(file, text(home / str(number)))
                await watched.until_bind(home / str(number))

    asyncio.run(play())


def test_a_half_written_file_is_waited_for(home: Path) -> None:
    async def play() -> None:
        file = home / ".tao_mounts.json"
        file.write_text(text(home / "a"))
        async with watching(file, home) as watched:
            whole = text(home / "b")
            for _ in range(5):
                with file.open("w") as out:
                    for position in range(0, len(whole), 20):
                        out.write(whole[position : position + 20])
                        out.flush()
                        await asyncio.sleep(0.01)
                await watched.until_bind(home / "b")
                file.write_text(text(home / "a"))
                await watched.until_bind(home / "a")
            assert {event.state for event in watched.seen} == {OK}

    asyncio.run(play())


def test_what_stays_broken_or_gone_is_said(home: Path) -> None:
    async def play() -> None:
        file = home / ".tao_mounts.json"
        file.write_text(text(home / "a"))
        async with watching(file, home) as watched:
            began = time.monotonic()
            file.write_text("{")
            await watched.until(lambda: watched.last.state == INVALID)
            assert time.monotonic() - began >= SETTLE
            file.unlink()
            await watched.until(lambda: watched.last.state == MISSING)
            file.write_text(text(home / "a"))
            await watched.until_bind(home / "a")

    asyncio.run(play())


def test_a_file_behind_links_is_watched_at_each_of_them(home: Path) -> None:
    async def play() -> None:
        dotfiles, others = home / "dotfiles", home / "others"
        dotfiles.mkdir()
        others.mkdir()
        file = home / ".tao_mounts.json"
        (dotfiles / "first").symlink_to("target")
        file.symlink_to("dotfiles/first")
        async with watching(file, home) as watched:
            in_place(dotfiles / "target", text(home / "a"))
            await watched.until_bind(home / "a")
            renamed_over(dotfiles / "target", text(home / "b"))
            await watched.until_bind(home / "b")
            in_place(others / "target", text(home / "c"))
            (dotfiles / "first").unlink()
            (dotfiles / "first").symlink_to("../others/target")
            await watched.until_bind(home / "c")
            in_place(others / "target", text(home / "d"))
            await watched.until_bind(home / "d")

    asyncio.run(play())


def test_a_home_that_is_not_there_yet_or_goes_and_comes(tmp_path: Path) -> None:
    async def play() -> None:
        home = tmp_path / "not/yet"
        file = home / ".tao_mounts.json"
        source = tmp_path / "project"
        async with watching(file, home) as watched:
            for _ in range(3):
                home.mkdir(parents=True)
                file.write_text(text(source))
                await watched.until_bind(source)
                shutil.rmtree(tmp_path / "not")
                await watched.until(lambda: watched.last.state == MISSING)

    asyncio.run(play())


def test_a_home_that_is_moved_away_and_replaced(tmp_path: Path) -> None:
    async def play() -> None:
        home = tmp_path / "home2"
        home.mkdir()
        file = home / ".tao_mounts.json"
        file.write_text(text(tmp_path / "a"))
        async with watching(file, home) as watched:
            home.rename(tmp_path / "old")
            await watched.until(lambda: watched.last.state == MISSING)
            home.mkdir()
            file.write_text(text(tmp_path / "b"))
            await watched.until_bind(tmp_path / "b")

    asyncio.run(play())


def test_our_own_reading_and_other_files_are_no_events(home: Path) -> None:
    async def play() -> None:
        file = home / ".tao_mounts.json"
        file.write_text(text(home / "a"))
        async with watching(file, home) as watched:
            looks = 0
            look = watched.source._look

            def counted(final: bool) -> None:
                nonlocal looks
                looks += 1
                look(final)

            watched.source._look = counted  # type: ignore[method-assign]
            for number in range(200):
                file.read_text()
                (home / f"data{number}").write_text("x")
            file.write_text(text(home / "b"))  # what is seen last: all before it has been dealt with by then
            await watched.until_bind(home / "b")
            assert looks <= 4  # one for each of: truncated, written, closed

    asyncio.run(play())
