"""What type checkers, and the editors that ask them, know of the public functions."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_a_users_program_is_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mypy = pytest.importorskip("mypy.api", reason="mypy is not installed")
    monkeypatch.chdir(ROOT)  # for its configuration, and where it finds portanet
    options = ["--follow-imports=silent", "--no-error-summary", f"--cache-dir={tmp_path}"]
    found, trouble, status = mypy.run([*options, "tests/typed_use.py"])
    assert (found, trouble, status) == ("", "", 0)
