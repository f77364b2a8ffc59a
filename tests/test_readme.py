"""What README and CONTRIBUTING say is so: their code runs, their commands and files exist."""

import re
import tomllib
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def blocks(page, language):
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text("utf-8"), re.M | re.S)


@pytest.mark.parametrize("code", [code for page in PAGES for code in blocks(page, "python")])
def test_code_runs(code, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PORTANET_BACKEND", raising=False)
    exec(compile(dedent(code), "a page", "exec"), {"__name__": "__main__"})
    out = capsys.readouterr().out
    if "test accuracy" in out:
        assert float(out.split("test accuracy ")[1]) > 0.95


def test_the_two_commands_are_one_line_each():
    commands = [c.strip() for c in blocks(PAGES[0], "bash")[:2]]
    example, tests = commands
    assert all("\n" not in c and c.startswith("python -m pip install -e ") for c in commands)
    assert example.endswith("&& python examples/mnist_cnn.py")
    assert tests.endswith("&& python -m pytest")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_name_extras_and_files_that_exist(page):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for line in "\n".join(blocks(page, "bash")).splitlines():
        for extras in re.findall(r"(?:portanet|\.)\[([\w,]+)\]", line):
            assert set(extras.split(",")) <= project["optional-dependencies"].keys(), line
        for file in re.findall(r"[\w/.]+\.py", line):
            assert (ROOT / file).is_file(), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", page.read_text("utf-8")):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_installed_version_is_that_of_the_code():
    from importlib.metadata import version

    import portanet

    assert portanet.__version__ == version("portanet")
