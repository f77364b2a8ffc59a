"""What the examples share: options, exit codes, and several jobs at once."""

import argparse
import multiprocessing
import os
import signal
import sys
from contextlib import closing

import common
import pytest
from example_jobs import count, end

import portanet as pn
from portanet import data


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (common.positive_int, ["0", "-1", "1.5", "many", ""]),
        (common.positive_float, ["0", "-0.1", "nan", "inf", "much", ""]),
    ],
)
def test_what_is_no_positive_number(kind, texts, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=kind)
    for text in texts:
        with pytest.raises(SystemExit):
            parser.parse_args([f"--n={text}"])
        assert f"argument --n: invalid {kind.__name__} value: {text!r}" in capsys.readouterr().err


def test_positive_numbers():
    assert common.positive_int("12") == 12
    assert common.positive_float("1e-3") == 0.001


def test_files_that_can_be_written(tmp_path):
    check = common.writable(".png", ".pdf")
    assert check(str(tmp_path / "new.png")) == tmp_path / "new.png"
    (tmp_path / "old.pdf").touch()
    assert check(str(tmp_path / "old.pdf")) == tmp_path / "old.pdf"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("p.xyz", "must end in .png or .pdf"),
        ("p", "must end in .png or .pdf"),
        ("missing/p.png", "there is no folder"),
        ("file/p.png", "there is no folder"),
        ("folder.png", "cannot be written"),
    ],
)
def test_files_that_cannot_be_written(tmp_path, name, message):
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        common.writable(".png", ".pdf")(str(tmp_path / name))


def test_a_folder_and_a_file_without_the_right_to_write(tmp_path, monkeypatch):
    (tmp_path / "old.png").touch()
    for forbidden in (tmp_path, tmp_path / "old.png"):
        monkeypatch.setattr("os.access", lambda path, mode, no=forbidden: path != no)
        with pytest.raises(argparse.ArgumentTypeError, match=r"old.png cannot be written"):
            common.writable(".png")(str(tmp_path / "old.png"))


PROGRAMS = ("mnist_cnn", "mnist_optimizers", "svhn_mlp", "cifar10_two_layer")


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_where_the_console_lacks_letters(run_example, program):
    done = run_example(program, "--help", PYTHONIOENCODING="ascii", COLUMNS="100")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--backend" in done.stdout


def test_the_options_of_every_program(tmp_path):
    pytest.importorskip("matplotlib")
    parser = common.parser_of("What it does.\n\nAnd more.")
    assert parser.description == "What it does."
    args = common.parsed(parser, [])
    assert vars(args) == {"backend": None, "seed": 0, "quick": False, "plot": None}
    plot = tmp_path / "p.svg"
    args = common.parsed(parser, ["--plot", str(plot), "--seed", "3", "--quick"])
    assert (args.plot, args.seed, args.quick) == (plot, 3, True)


def test_a_plot_without_matplotlib(tmp_path, monkeypatch, capsys):
    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit) as caught:
        common.parsed(common.parser_of("A program."), ["--plot", str(tmp_path / "p.png")])
    assert caught.value.code == 2
    assert "pip install matplotlib" in capsys.readouterr().err.splitlines()[-1]


def test_which_backend_is_selected(monkeypatch, capsys):
    monkeypatch.setenv("PORTANET_BACKEND", "strict")
    assert common.select_backend(None).name == "strict"
    assert common.select_backend("numpy") is pn.get_backend()
    assert pn.get_backend().name == "numpy"
    assert "backend numpy on cpu" in capsys.readouterr().out.splitlines()[1]


def test_exit_codes(capsys):
    def fail(error):
        raise error

    assert common.guarded("program", lambda: None) == 0
    assert common.guarded("program", lambda: fail(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == ""
    for kind in (pn.BackendError, data.DataError, OSError, FloatingPointError):
        assert common.guarded("program", lambda kind=kind: fail(kind("this"))) == 2
        assert capsys.readouterr().err == "program: this\n"
    with pytest.raises(ZeroDivisionError):  # a mistake in a program is not hidden
        common.guarded("program", lambda: 1 // 0)


# --- several jobs at once ------------------------------------------------------------------------


def test_jobs_give_results_and_output_in_order(capsys):
    pn.set_backend("strict")
    taken = []

    def items():
        for n in (3_000_000, *range(100)):  # the first is done long after the second
            taken.append(n)
            yield n

    with closing(common.in_order(count, items(), 2)) as results:
        found = [next(results), next(results)]
    assert taken == [3_000_000, 0, 1, 2]  # two were done, two were at work
    assert [n for n, *_ in found] == [3_000_000, 0]
    assert os.getpid() not in [pid for _, pid, *_ in found]
    assert {tuple(rest) for _, _, *rest in found} == {("strict", "1")}
    assert capsys.readouterr().out == "job 3000000\njob 0\n"


def test_one_job_is_this_process(capsys):
    results = common.in_order(count, iter([2, 1]), 1)
    assert [(n, pid) for n, pid, *_ in results] == [(2, os.getpid()), (1, os.getpid())]
    assert capsys.readouterr().out == "job 2\njob 1\n"


def test_jobs_that_nobody_waits_for_are_ended():
    before = multiprocessing.active_children()
    with closing(common.in_order(end, ["soon", "wait"], 2)) as results:
        assert next(results) == "soon"
        workers = [w for w in multiprocessing.active_children() if w not in before]
    assert workers
    for worker in workers:
        for _ in range(60):  # the pool's own thread may be about to note the end
            worker.join(1)
            if worker.exitcode is not None:
                break
    ends = {worker.exitcode for worker in workers}
    assert -signal.SIGTERM in ends
    assert ends <= {-signal.SIGTERM, 0}  # the pool may have sent the idle one home before


def test_a_job_that_fails_and_one_that_is_ended_from_outside(capsys):
    results = common.in_order(end, ["soon", "raise", "soon"], 2)
    assert next(results) == "soon"
    with pytest.raises(ZeroDivisionError, match="in a job"):
        next(results)
    assert next(results, None) is None
    assert common.guarded("program", lambda: list(common.in_order(end, ["killed"], 2))) == 2
    line = "program: a job was ended from outside, perhaps for want of memory: try --jobs 1\n"
    assert capsys.readouterr().err == line
