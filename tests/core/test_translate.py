"""Host path <-> container path: what has a name on the other side is found back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taowatch.core.translate import to_container, to_host

_parts = st.lists(st.sampled_from(["a", "b", "数据", "c d", "$x", "'"]), max_size=4)
_paths = _parts.map(lambda parts: "/" + "/".join(parts))
_binds = st.dictionaries(_paths, _paths, max_size=5).map(lambda found: tuple(found.items()))


@given(_binds, _paths)
def test_what_has_a_name_in_the_container_is_found_back(binds: tuple[tuple[str, str], ...], path: str) -> None:
    inside = to_container(path, binds)
    if inside is not None:
        assert to_host(inside, binds) == path


@given(_binds, _paths)
def test_every_covered_container_path_leads_somewhere_that_has_a_name(
    binds: tuple[tuple[str, str], ...], path: str
) -> None:
    host = to_host(path, binds)
    covered = any(path == d or d == "/" or path.startswith(d + "/") for d, _ in binds)
    assert (host is not None) == covered
    if host is not None:
        again = to_container(host, binds)
        assert again is not None
        assert to_host(again, binds) == host


def test_a_folder_under_another_mount_has_no_name() -> None:
    binds = (("/w", "/p"), ("/w/x/specs", "/p/specs"))
    assert to_container("/p/specs/t", binds) == "/w/x/specs/t"
    assert to_container("/p/x/specs/t", binds) is None
    assert to_host("/w//x/./specs/../y", binds) == "/p/x/y"
