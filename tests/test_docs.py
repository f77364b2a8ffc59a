"""The index of the public names says what the code says."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "api.md").read_text(encoding="utf-8")


def test_the_index_of_everything_public_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_api", DOCS / "make_api.py")
    assert spec is not None
    assert spec.loader is not None
    make_api = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_api)
    assert make_api.index() == PAGE, "run: python docs/make_api.py"


def test_each_line_says_what_a_name_is() -> None:
    lines = [line for line in PAGE.splitlines() if line.lstrip().startswith("- ")]
    assert len(lines) > 250
    for line in lines:
        assert line.partition("`: ")[2], f"no description: {line}"
        assert "(*args, **kwargs)" not in line, f"no arguments: {line}"
        assert " at 0x" not in line, f"another one in each process: {line}"


@pytest.mark.parametrize(
    ("name", "methods"),
    [
        ("pn.Trainer", "evaluate fit last_loss load predict save state_dict"),
        ("pn.Backend", "asarray convolve im2col load random to_numpy unavailable"),
        ("pn.nn.Layer", "__call__ backward forward freeze initialize params state_dict to vjp"),
        ("pn.nn.Loss", "__call__ backward forward normalizer vjp"),
        ("pn.nn.Pullback", "__call__"),
        ("pn.optim.Optimizer", "hyper load_state_dict state_dict step update"),
        ("pn.data.DataLoader", "batches"),
    ],
)
def test_methods_stand_below_the_class_that_introduces_them(name: str, methods: str) -> None:
    found = re.search(rf"^- `{re.escape(name)}[(`].*\n((?:  - .*\n)+)", PAGE, re.MULTILINE)
    assert found, name
    listed = re.findall(r"^  - `\.(\w+)", found[1], re.MULTILINE)
    assert set(methods.split()) <= set(listed)
    assert listed == sorted(listed, key=str.casefold)


def test_names_are_in_the_order_of_the_alphabet_whatever_their_case() -> None:
    for section in re.split(r"^#.*", PAGE, flags=re.MULTILINE):
        names = re.findall(r"^- `pn\.([\w.]+)", section, re.MULTILINE)
        assert names == sorted(names, key=str.casefold)
