"""What README, guide and CONTRIBUTING say is so: code runs, commands, links, figures are right."""

import re
import tomllib
from itertools import combinations
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parent.parent
README, GUIDE, CONTRIBUTING = (
    ROOT / name for name in ("README.md", "docs/guide.md", "CONTRIBUTING.md")
)
PAGES = [README, GUIDE, CONTRIBUTING]
LINKED = [README, CONTRIBUTING, ROOT / "examples/README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page, language):
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text("utf-8"), re.M | re.S)


def rows(page):
    """Return the cells of each row of a page's tables."""
    lines = page.read_text("utf-8").splitlines()
    return [[c.strip() for c in line.strip("|").split("|")] for line in lines if line[:1] == "|"]


def runs(code, monkeypatch, capsys, tmp_path):
    """Run a block of code in an empty folder and return what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PORTANET_BACKEND", raising=False)
    exec(compile(dedent(code), "a page", "exec"), {"__name__": "__main__"})
    return capsys.readouterr().out


SHOWN = [*zip(blocks(README, "python"), blocks(README, "text"), strict=True)]


@pytest.mark.parametrize(("code", "shown"), SHOWN)
def test_the_readme_shows_what_its_code_prints(code, shown, monkeypatch, capsys, tmp_path):
    printed = runs(code, monkeypatch, capsys, tmp_path)

    # Numbers depend on the machine, the last digits of an accuracy on its BLAS.
    def words(text):
        return [re.sub(r"\d[\d.,]*(e-\d+)?", "#", line) for line in text.splitlines()]

    first, _, last = shown.partition("…\n")
    assert words(printed)[: len(words(first))] == words(first)
    assert words(printed)[-len(words(last)) :] == words(last) or not last
    for accuracy in re.findall("test accuracy ([0-9.]+)", shown):
        assert float(printed.split("test accuracy ")[1]) == pytest.approx(float(accuracy), abs=0.02)


@pytest.mark.parametrize("code", [c for page in PAGES[1:] for c in blocks(page, "python")])
def test_code_runs(code, monkeypatch, capsys, tmp_path):
    runs(code, monkeypatch, capsys, tmp_path)


def test_the_two_commands_are_one_line_each():
    commands = [c.strip() for c in blocks(README, "bash")[:2]]
    example, tests = commands
    assert all("\n" not in c and c.startswith("python -m pip install -e ") for c in commands)
    assert example.endswith("&& python examples/mnist_cnn.py")
    assert tests.endswith("&& python -m pytest")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_name_extras_and_files_that_exist(page):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for extras in re.findall(r"(?:portanet|\.)\[([\w,]+)\]", page.read_text("utf-8")):
        assert set(extras.split(",")) <= project["optional-dependencies"].keys()
    for file in re.findall(r"[\w/.]+\.py", "\n".join(blocks(page, "bash"))):
        assert (ROOT / file).is_file()


def anchors(page):
    """Return what a link to a place in a page may name: its headings, as GitHub spells them."""
    text = page.read_text("utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    plain = [re.sub(r"<[^>]*>|[^\w\- ]", "", h).strip().lower() for h in headings]
    return {h.replace(" ", "-") for h in plain} | set(re.findall(r'<a name="([\w-]+)"', text))


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
        file, _, anchor = target.partition("#")
        there = page.parent / file if file else page
        assert target.startswith("https://") or there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_the_readme_speaks_of_speed_as_the_measurements_do():
    measured = rows(ROOT / "docs/performance.md")

    def span(cell):  # "1.39, 1.24, **1.13** (1.5)" are three runs, and the aim
        runs = sorted(re.findall(r"[\d.]+", cell.partition("(")[0]), key=float)
        return f"{runs[0]}–{runs[-1]}" if runs else ""

    spans = {pair for row in measured for pair in combinations(map(span, row[1:]), 2)}
    ratios = [row for row in rows(README) if re.search(r"\d–\d", row[1])]
    assert len(ratios) == 5
    for network, *pair in ratios:
        assert tuple(pair) in spans, network
    sizes = [row for row in rows(README) if re.search("ms$|MB$|MiB$", row[1])]
    assert len(sizes) == 3
    for what, *figures in sizes:
        assert any(row[: len(figures) + 1] == [what, *figures] for row in measured), what


def test_the_installed_version_is_that_of_the_code():
    from importlib.metadata import version

    import portanet

    assert portanet.__version__ == version("portanet")
