"""A notebook's file -> its code cells. Formats 3 (cells in worksheets, text in `input`) and 4."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 256 * 1024 * 1024
"""A larger notebook is not read. Those with many outputs in them have 50 MB."""

_MAX_CELL = 256 * 1024


class BadNotebook(ValueError):
    """The file is no notebook that can be read; the text says why in one line."""


@dataclass(frozen=True)
class Cell:
    """A code cell; `number` counts all cells of the notebook from 1, as one counts them on the screen."""

    number: int
    source: str


def code_cells(content: bytes) -> tuple[Cell, ...]:
    """The code cells in their order. Raises BadNotebook."""
    document = _document(content)
    return tuple(Cell(number, text) for number, cell in _cells(document) if (text := _code(cell)) is not None)


def _document(content: bytes) -> dict[str, Any]:
    if len(content) > MAX_BYTES:
        raise BadNotebook(f"larger than {MAX_BYTES // 2**20} MiB, so it was not read")
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadNotebook(f"not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise BadNotebook(f"not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise BadNotebook(f"not a notebook: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("cells", document.get("worksheets")), list):
        raise BadNotebook("not a notebook: it has no list of cells")
    return document


def _cells(document: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    if isinstance(document.get("cells"), list):
        return enumerate(document["cells"], start=1)
    sheets = [sheet.get("cells") for sheet in document["worksheets"] if isinstance(sheet, dict)]
    return enumerate((cell for cells in sheets if isinstance(cells, list) for cell in cells), start=1)


def _code(cell: object) -> str | None:
    """The text of a code cell; None for any other, and for one that is far too large to be a set-up cell."""
    if not isinstance(cell, dict) or cell.get("cell_type") != "code":
        return None
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) and len(source) <= _MAX_CELL else None
