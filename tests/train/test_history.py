"""History: what it holds, and its plot."""

import copy
import math

import pytest

from portanet.train import History


def recorded():
    history = History()
    history.append({"loss": 1.0, "accuracy": 0.5, "lr": 0.1, "seconds": 2.0})
    history.append({"loss": 0.5, "accuracy": 0.75, "lr": 0.1, "seconds": 2.0, "val_loss": 0.6})
    return history


def test_quantities_by_name():
    history = recorded()
    assert len(history) == 2
    assert history["loss"] == [1.0, 0.5]
    assert math.isnan(history["val_loss"][0])
    with pytest.raises(KeyError, match="no quantity 'val_f1' in the history; there are: loss"):
        history["val_f1"]
    assert "val_f1" not in history.epochs


def test_quantities_as_of_a_mapping():
    history = recorded()
    assert "loss" in history
    assert "val_f1" not in history
    assert (
        list(history) == list(history.keys()) == ["loss", "accuracy", "lr", "seconds", "val_loss"]
    )
    assert dict(history)["loss"] == history["loss"]


def test_a_history_is_true_whatever_its_length():
    assert bool(History())
    assert len(History()) == 0
    assert bool(recorded())


def test_keras_word_is_answered():
    with pytest.raises(AttributeError, match="no 'history': `epochs` is the dict of lists"):
        recorded().history  # noqa: B018
    with pytest.raises(AttributeError, match="'History' object has no attribute 'loss'"):
        recorded().loss  # noqa: B018
    assert copy.deepcopy(recorded()).epochs.keys() == recorded().epochs.keys()


def test_plot(tmp_path):
    pytest.importorskip("matplotlib")
    figure = recorded().plot(tmp_path / "history.png")
    assert (tmp_path / "history.png").stat().st_size > 1000
    axes = figure.get_axes()
    assert [a.get_ylabel() for a in axes] == ["loss", "accuracy"]
    assert all(a.get_xlabel() == "epoch" for a in axes)
    assert list(axes[0].get_lines()[0].get_ydata()) == [1.0, 0.5]
    with pytest.raises(ValueError, match="no epoch was finished"):
        History().plot()


def test_a_plot_in_the_home_directory(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    recorded().plot("~/history.svg")
    assert (tmp_path / "history.svg").stat().st_size


def test_plot_of_a_quantity_of_the_validation_alone(tmp_path):
    pytest.importorskip("matplotlib")
    history = recorded()
    history.epochs["val_f1"] = [0.25, 0.75]
    figure = history.plot()
    *_, last = figure.get_axes()
    assert last.get_ylabel() == "f1"
    (line,) = last.get_lines()
    assert (line.get_label(), list(line.get_ydata())) == ("validation", [0.25, 0.75])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["training", "validation"]


def test_plot_without_matplotlib_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="install it with: pip install matplotlib"):
        recorded().plot()
