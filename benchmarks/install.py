"""What a library costs before it trains: its import and its size on the disk, beyond NumPy's."""

import os
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.timing import ROOT

# What a contender imports, and the distribution that it comes from.
LIBRARIES = {
    "portanet": ("portanet", "portanet"),
    "torch": ("torch", "torch"),
    "jax": ("jax", "jax"),
    "sklearn": ("sklearn.neural_network", "scikit-learn"),
}
MOST = "to keep: 60 ms, 5 MB"  # of portanet

IMPORT = """
from time import perf_counter
start = perf_counter()
import numpy
middle = perf_counter()
import {module}
print(middle - start, perf_counter() - middle)
"""


def import_seconds(module: str) -> tuple[float, float]:
    """Return what importing NumPy, and then the module, takes in a fresh process.

    Byte code is cached. Raises ImportError where the import fails.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", IMPORT.format(module=module)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ImportError(done.stderr.strip().splitlines()[-1])
    first, second = map(float, done.stdout.split())
    return first, second


def files_bytes(files: Iterable[Path]) -> int:
    """Return the size of the files together, without cached byte code."""
    kept = (path for path in files if "__pycache__" not in path.parts and path.is_file())
    return sum(path.stat().st_size for path in kept)


def distribution_bytes(name: str) -> int:
    """Return the size of an installed distribution."""
    return files_bytes(Path(str(f.locate())) for f in metadata.files(name) or ())


def brought(requirements: Iterable[str]) -> set[str]:
    """Return the names of the distributions that requirements bring here, NumPy aside."""
    from packaging.requirements import Requirement

    left = [(requirement, {""}) for requirement in requirements]
    found, seen = set(), set()
    while left:
        text, extras = left.pop()
        requirement = Requirement(text)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        marker = requirement.marker
        wanted = marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)
        if name == "numpy" or not wanted or (name, text) in seen:
            continue
        seen.add((name, text))
        found.add(name)
        left += [(r, {"", *requirement.extras}) for r in metadata.requires(name) or ()]
    return found


def installed_bytes(distribution: str) -> int:
    """Return what installing a distribution adds to NumPy; portanet's is that of this tree."""
    if distribution == "portanet":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        packages = [ROOT / "portanet", *ROOT.glob("backends/portanet_*")]
        own = sum(files_bytes(package.rglob("*")) for package in packages)
        return own + sum(map(distribution_bytes, brought(project["dependencies"])))
    return sum(map(distribution_bytes, brought([distribution])))


def measure(contenders: Iterable[str], rounds: int) -> Any:
    """Return NumPy's import and size, what each library adds to them, and which are not there.

    A round imports each library once, in a fresh process.
    """
    results: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    for name in contenders:
        if name in LIBRARIES:  # others come with these, or need none
            module, distribution = LIBRARIES[name]
            try:
                import_seconds(module)  # writes the byte code
                results[name] = {"bytes": installed_bytes(distribution)}
            except ImportError as error:
                skipped[name] = str(error)
    times = [{name: import_seconds(LIBRARIES[name][0]) for name in results} for _ in range(rounds)]
    for name, result in results.items():
        result["import_seconds"] = [seconds[name][1] for seconds in times]
    numpy = {
        "bytes": distribution_bytes("numpy"),
        "import_seconds": [first for seconds in times for first, _ in seconds.values()],
    }
    return {"numpy": numpy, "results": results, "skipped": skipped}


def report(measured: Any, rounds: int) -> None:
    """Print the table."""

    def words(result: Any) -> str:
        milliseconds = 1e3 * statistics.median(result["import_seconds"])
        return f"{milliseconds:>8,.0f} ms  {result['bytes'] / 1e6:>8,.1f} MB"

    print(f"\ninstall: import (median of {rounds} fresh processes) and size with requirements")
    print(f"  {'numpy':<14}{words(measured['numpy'])}")
    for name, result in measured["results"].items():
        wanted = f"  ({MOST})" if name == "portanet" else ""
        print(f"  + {name:<12}{words(result)}{wanted}")
    for name, reason in measured["skipped"].items():
        print(f"  + {name:<12}skipped: {reason}")
