"""The picture of `growth`: a panel for each thing that grows, the cost of a step in each."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

# Of Okabe and Ito, which color-blind readers can tell apart: one for each network.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLES = ("o-", "s--", "^:", "D-.", "v--", "x:")  # one for each contender


def check(path: Path) -> None:
    """Raise ValueError where no picture can be written of the kind that the name asks for."""
    kinds = Figure().canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in kinds:
        raise ValueError(f"{path.name} must end in one of: {', '.join(kinds)}")


def title(what: str, found: Any) -> str:
    """Return what a panel shows of portanet, from the smallest to the largest size."""
    costs, size = {}, 1.0
    for network, contenders in found.items():
        seconds = contenders["portanet"]
        first, last = min(seconds), max(seconds)
        costs[network], size = seconds[last] / seconds[first], last / first
    if what == "threads":
        speeds = ", ".join(f"{1 / cost:.1f}× on {network}" for network, cost in costs.items())
        return f"portanet's speed-up by {last} threads: {speeds}" if last > 1 else "one thread only"
    more = f"{size**2:.3g}× the pixels" if what == "image" else f"{size:.3g}× the {what}"
    times = ", ".join(f"{cost:.3g}× the time for {network}" for network, cost in costs.items())
    return f"{more} takes portanet {times}"


def draw(path: Path, labels: dict[str, str], figures: dict[str, Any]) -> None:
    """Draw the figures, by what grows, network, contender and size, and save the picture."""
    networks = list(dict.fromkeys(n for found in figures.values() for n in found))
    colors = dict(zip(networks, COLORS, strict=False))
    some = next(iter(figures.values()))
    contenders = {name: bool(curve) for curves in some.values() for name, curve in curves.items()}
    columns = min(2, len(figures))
    rows = -(-len(figures) // columns)
    figure = Figure(figsize=(6.0 * columns, 4.2 * rows + 0.8), layout="constrained")
    all_axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in all_axes[len(figures) :]:
        axes.remove()
    for axes, (what, found) in zip(all_axes, figures.items(), strict=False):
        sizes: set[int] = set()
        for network, curves in found.items():
            for style, seconds in zip(STYLES, curves.values(), strict=False):
                values = [1e3 * s for s in seconds.values()]
                axes.loglog(list(seconds), values, style, color=colors[network], markersize=4)
                sizes |= seconds.keys()
        axes.set_xticks(sorted(sizes), [str(size) for size in sorted(sizes)])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set(xlabel=labels[what], ylabel="milliseconds a step")
        axes.set_title(title(what, found), fontsize="medium", wrap=True)
        axes.grid(alpha=0.3)
    figure.suptitle("What a training step costs")
    lines = [Line2D([], [], color=colors[n], linewidth=3, label=n) for n in networks]
    for (marker, *style), (name, is_there) in zip(STYLES, contenders.items(), strict=False):
        if is_there:
            line = {"marker": marker, "linestyle": "".join(style), "markersize": 4}
            lines.append(Line2D([], [], color="black", label=name, **line))
    figure.legend(handles=lines, loc="outside lower center", ncols=3 * columns)
    figure.savefig(path, dpi=150)
