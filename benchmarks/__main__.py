"""`python -m benchmarks [NAME…]`: run the named benchmarks, or all, and print their tables."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

NOT_BENCHMARKS = {"__main__", "measure"}


def names() -> list[str]:
    """Every module beside this one that measures something; each has `main() -> None`."""
    found = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return sorted(set(found) - NOT_BENCHMARKS)


def main(arguments: list[str]) -> int:
    unknown = [name for name in arguments if name not in names()]
    if unknown:
        print(f"There is no benchmark {unknown[0]}; there are: {', '.join(names())}.", file=sys.stderr)
        return 2
    for name in arguments or names():
        print(f"## {name}\n", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()
        print(flush=True)
    return 0


sys.exit(main(sys.argv[1:]))
