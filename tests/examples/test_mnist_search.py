"""The search of the convolutional network: its order, its log, and how it is ended."""

import itertools
import json
import signal

import mnist_search
import numpy as np
import pytest
from mnist_search import Attempt

import portanet as pn
from portanet import nn, optim

# Accuracies of the attempts: 0.19, 0.21, 0.23, 0.20.
OPTIONS = {"data": "digits", "images": 60, "batch-size": 20, "epochs": 2, "factor": 2}
LITTLE = [word for name, value in OPTIONS.items() for word in (f"--{name}", str(value))]


@pytest.fixture
def search(example, tmp_path, capsys):
    """Search on little data; return the exit code, the output and the log, both without times."""

    def run(*options, log="log.jsonl"):
        path = tmp_path / log
        code = example("mnist_cnn").main(["--search", "--log", str(path), *LITTLE, *options])
        out, err = capsys.readouterr()
        assert bool(err) == (code != 0)
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        for entry in entries[1:]:
            assert len(entry.pop("seconds")) == 2
        lines = [line.partition("  val_accuracy")[0] for line in out.splitlines()]
        return code, lines, entries

    return run


def best(attempts):
    return [round(max(a["accuracy"]), 2) for a in attempts]


def test_bound_and_rate_grow(search):
    code, lines, (about, *attempts) = search("--target", "1", "--max-attempts", "4")
    assert code == 0
    assert [a["number"] for a in attempts] == [1, 2, 3, 4]
    assert [a["bound"] for a in attempts] == [0.1, 0.2, 0.4, 0.8]
    assert [a["lr"] for a in attempts] == [0.02, 0.04, 0.08, 0.16]
    assert best(attempts) == [0.19, 0.21, 0.23, 0.20]
    assert about["factor"] == 2
    assert [line for line in lines if line.startswith("attempt ")] == [
        "attempt 1: bound 0.1, lr 0.02",
        "attempt 2: bound 0.2, lr 0.04",
        "attempt 3: bound 0.4, lr 0.08",
        "attempt 4: bound 0.8, lr 0.16",
    ]
    assert sum(line.startswith("epoch ") for line in lines) == 8
    assert lines[-2] == (
        "best of 4: attempt 3, validation accuracy 0.2308, which does not reach the target of 1"
    )
    assert lines[-1].startswith("test accuracy 0.")


def test_each_attempt_has_a_seed_of_its_own():
    trained = {}

    def train(settings, own_seed):
        trained[own_seed] = settings.bound, settings.lr
        raise KeyboardInterrupt

    settings = Attempt(0, bound=0.5, lr=3.0, accuracy=[], seconds=[])
    for seed in (0, 1):
        for number in (1, 2):
            with pytest.raises(KeyboardInterrupt):
                mnist_search.attempt(train, settings, 2.0, seed, number)
    assert list(trained.values()) == [(0.5, 3.0), (1.0, 6.0)] * 2  # four seeds, then


def test_the_first_attempt_that_reaches_the_target_ends_it_for_any_number_of_jobs(search, tmp_path):
    found = []
    for jobs in (1, 2):  # two: attempt 3, which is better, is at work when attempt 2 is done
        weights = tmp_path / f"{jobs}.npz"
        options = ["--target", "0.2", "--jobs", str(jobs), "--save", str(weights)]
        code, lines, entries = search(*options, log=f"{jobs}.jsonl")
        assert code == 0
        assert best(entries[1:]) == [0.19, 0.21]
        assert "0.2098, which reaches the target of 0.2" in "".join(lines)
        with np.load(weights) as file:
            found.append((lines[:-1], entries, {name: file[name] for name in file}))
    (lines, entries, first), (other_lines, other_entries, second) = found
    assert (lines, entries) == (other_lines, other_entries)
    assert list(first) == ["c1.weight", "c1.bias", "c2.weight", "c2.bias", "f.weight", "f.bias"]
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_weights_are_those_of_the_best_epoch():
    model, weights, last = nn.Linear(2, 2), [], []

    def train(settings, own_seed):
        """Learn in the first epoch, and unlearn it in the second."""
        x, y = np.eye(2, dtype="float32"), np.array([0, 1])
        model.params["weight"], model.params["bias"] = 0.1 * np.eye(2), np.zeros(2)
        optimizer = optim.SGD(model, lr=0.1)
        trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optimizer, monitor="val_accuracy")
        trainer.fit((x, y), epochs=1, validation_data=(x, y), progress=False)
        weights.append(np.array(model.params["weight"]))
        trainer.fit((x, 1 - y), epochs=20, validation_data=(x, y), progress=False)
        last.append(np.array(model.params["weight"]))
        return trainer

    settings = Attempt(0, bound=0.5, lr=3.0, accuracy=[], seconds=[])
    done = mnist_search.attempt(train, settings, 2.0, 0, 1)
    assert (done.accuracy[0], done.accuracy[-1], done.best) == (1, 0, 1)
    np.testing.assert_array_equal(done.weights["weight"], weights[0])
    assert not np.array_equal(weights[0], last[0])


def test_attempts_with_infinities_are_given_up(example, capsys):
    def train(settings, own_seed):
        raise FloatingPointError("step 1: it is too much")

    args = example("mnist_cnn").parse(["--search", "--max-attempts", "2"])
    settings = Attempt(0, bound=0.5, lr=3.0, accuracy=[], seconds=[])
    with pytest.raises(FloatingPointError, match="no attempt learned anything"):
        mnist_search.search(args, train, settings, "nothing")
    out = capsys.readouterr().out
    assert out.count("given up in step 1: it is too much") == 2


def test_a_search_goes_on_where_it_was(search, tmp_path):
    whole = search("--target", "1", "--max-attempts", "3", log="whole.jsonl")
    assert search("--target", "1", "--max-attempts", "2")[2] == whole[2][:3]
    code, lines, entries = search("--target", "1", "--max-attempts", "3")
    assert code == 0
    assert entries == whole[2]
    assert [line for line in lines if "attempt" in line] == [
        f"2 attempts read from {tmp_path / 'log.jsonl'}",
        "attempt 3: bound 0.4, lr 0.08",
        whole[1][-2],
    ]
    assert lines[-1] == whole[1][-1]


def test_weights_that_the_log_is_without_are_made_again(search, tmp_path):
    """Also where there is nothing left to search."""
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    options = ["--target", "0.2", "--max-attempts", "3"]
    whole = search(*options, "--save", str(first))
    again = search(*options, "--save", str(second))
    assert again[2] == whole[2]
    assert "once more, for its weights: attempt 2: bound 0.2, lr 0.04" in again[1]
    assert first.read_bytes() == second.read_bytes()


def test_a_line_that_was_cut_off_is_made_again(search, tmp_path):
    whole = search("--target", "1", "--max-attempts", "3")[2]
    log = tmp_path / "log.jsonl"
    text = log.read_bytes()
    for cut in (1, 40):  # of the last attempt its line's end, and more
        log.write_bytes(text[:-cut])
        code, lines, entries = search("--target", "1", "--max-attempts", "3")
        assert code == 0
        assert f"2 attempts read from {log}" in lines
        assert entries == whole
    log.write_bytes(text[:20])  # within the first line
    assert search("--target", "1", "--max-attempts", "3")[2] == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:1] + [lines[1][:30]] + lines[2:], "not a log of this program"),
        (lambda lines: [lines[0], lines[2]], "not a log of this program"),
        (lambda lines: lines[1:], "not a log of this program"),
        (lambda lines: ["[]"], "not a log of this program"),
        (lambda lines: ["\udcff"], "not a log of this program"),
        (lambda lines: [lines[0].replace('"seed": 0', '"seed": 7')], "with seed 7 instead of 0"),
    ],
    ids=["cut", "gap", "first", "other", "bytes", "seed"],
)
def test_a_log_that_does_not_fit_is_one_message(example, tmp_path, capsys, change, message):
    log = tmp_path / "log.jsonl"
    options = ["--search", "--log", str(log), "--max-attempts", "2", "--target", "1", *LITTLE]
    assert example("mnist_cnn").main(options) == 0
    text = "".join(line + "\n" for line in change(log.read_text().splitlines()))
    log.write_text(text, errors="surrogateescape")
    capsys.readouterr()
    assert example("mnist_cnn").main(options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"mnist_cnn: {log}")
    assert message in line
    assert log.read_text(errors="surrogateescape") == text


def test_a_file_of_something_else_is_left_as_it_is(example, tmp_path, capsys):
    other = tmp_path / "other.jsonl"
    other.write_text('{"precious": 1}')  # without the line's end
    assert example("mnist_cnn").main(["--search", "--log", str(other), *LITTLE]) == 2
    assert "not a log of this program" in capsys.readouterr().err
    assert other.read_text() == '{"precious": 1}'


@pytest.mark.usefixtures("pythons_handler")
def test_interrupted(search, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    step, steps = optim.Adam.step, itertools.count(1)

    def interrupted(*args):
        if next(steps) == 8:  # an attempt has six
            signal.raise_signal(signal.SIGINT)
        step(*args)

    monkeypatch.setattr(optim.Adam, "step", interrupted)
    plot = tmp_path / "p.svg"
    code, lines, entries = search("--target", "1", "--plot", str(plot))
    assert code == 130
    assert best(entries[1:]) == [0.19]
    assert "best of 1: attempt 1" in lines[-2]
    assert lines[-1] == f"plot written to {plot}"
    assert plot.is_file()


def test_the_plot_shows_ten_attempts_at_most():
    for n in range(1, 40):
        shown = mnist_search.sampled(list(range(n)))
        assert len(shown) == min(n, 10)
        assert shown == sorted(set(shown))
        assert (shown[0], shown[-1]) == (0, n - 1)


def test_the_plot(tmp_path):
    pytest.importorskip("matplotlib")
    attempts = [Attempt(k, 0.1 * k, 0.02 * k, [0.1 * k, 0.5], [1.0, 1.0]) for k in range(1, 13)]
    attempts[0] = Attempt(1, 0.1, 0.02, [], [])  # given up
    mnist_search.draw(tmp_path / "p.svg", attempts, 0.93)
    assert (tmp_path / "p.svg").stat().st_size > 10_000


@pytest.mark.parametrize("option", ["--target 0.5", "--factor 2", "--jobs 2", "--max-attempts 3"])
def test_options_that_go_with_a_search(example, capsys, option):
    with pytest.raises(SystemExit):
        example("mnist_cnn").main(option.split())
    assert f"argument {option.split()[0]}: goes with --search" in capsys.readouterr().err
