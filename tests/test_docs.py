"""The documents say what the code says."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_the_index_of_everything_public_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_api", DOCS / "make_api.py")
    assert spec is not None
    assert spec.loader is not None
    make_api = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_api)
    index = make_api.index()
    assert (DOCS / "api.md").read_text(encoding="utf-8") == index, "run: python docs/make_api.py"
    lines = [line for line in index.splitlines() if line.startswith("- ")]
    assert len(lines) > 60
    for line in lines:
        assert line.partition("`: ")[2], f"no description: {line}"
