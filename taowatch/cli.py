"""The command line: `hook` is answered before anything heavy is imported; every other verb imports its own module."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from taowatch.errors import FAILED, TaowatchError
from taowatch.paths import Paths

if TYPE_CHECKING:
    import click


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 found or failed, 2 wrong usage, 3 no daemon."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if len(arguments) == 2 and arguments[0] == "hook" and not arguments[1].startswith("-"):
            sys.exit(_hook(arguments[1]))
        _command_tree().main(arguments, prog_name="taowatch")
    except TaowatchError as error:
        _complain(str(error))
        sys.exit(error.code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit is quiet too
        sys.exit(FAILED)
    except OSError as error:
        _complain(f"{error.filename or 'a file'}: {error.strerror or error}")
        sys.exit(FAILED)
    sys.exit(0)


def _hook(shell: str) -> int:
    from taowatch.commands.hook import hook

    sys.stdout.buffer.write(hook(Paths.of(os.environ), shell))
    return 0


def _complain(text: str) -> None:
    safe = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    print(f"taowatch: {safe}".encode("utf-8", "replace").decode(), file=sys.stderr)


def _command_tree() -> click.Group:
    from taowatch.commands.tree import build

    return build()
