# ruff: noqa: E501 (tables: a line for each case)
"""Schedules: their values by hand, purity, state, checks, and what a Trainer does with them."""

import inspect
import json
from math import cos, inf, nan, pi
from typing import Any

import numpy as np
import pytest
from cases import SCHEDULES, ScheduleCase, fill, ids

import portanet as pn
from portanet import nn, optim

every_schedule = pytest.mark.parametrize("case", SCHEDULES, ids=ids(SCHEDULES))


def initial(case: ScheduleCase) -> Any:
    return case.optimizer.make(nn.Linear(1, 1), **case.optimizer.options).initial


def rates(schedule: optim.Schedule, counts: int, lr: float = 1.0) -> list[float]:
    return [schedule(count, {"lr": lr})["lr"] for count in range(counts)]


@every_schedule
def test_schedules_are_pure_functions(case: ScheduleCase) -> None:
    schedule, start = case.make(**case.options), initial(case)
    given = dict(start)
    forwards = [schedule(count, start) for count in range(case.counts)]
    backwards = [schedule(count, start) for count in reversed(range(case.counts))]
    assert forwards == backwards[::-1]
    assert forwards == [case.make(**case.options)(count, start) for count in range(case.counts)]
    assert dict(start) == given
    assert all(values["lr"] >= 0 for values in forwards)
    assert repr(schedule) == repr(case.make(**case.options))


@every_schedule
def test_applying_sets_the_next_steps_hyperparameters(case: ScheduleCase) -> None:
    optimizer = case.optimizer.make(nn.Linear(1, 1), **case.optimizer.options)
    schedule = case.make(**case.options)
    for count in range(case.counts):
        schedule.apply(optimizer, count)
        assert optimizer.hyper == dict(optimizer.initial) | schedule(count, optimizer.initial)
    assert optimizer.initial["lr"] == case.optimizer.options["lr"]


def test_every_option_has_a_case() -> None:
    for make in {case.make for case in SCHEDULES}:
        known = set(inspect.signature(make).parameters) - {"first"}  # a Trainer's business
        tried = {option for case in SCHEDULES if case.make is make for option in case.options}
        assert tried == known, make.__name__


@every_schedule
def test_numpys_numbers_become_pythons(case: ScheduleCase) -> None:
    """A NumPy scalar among the hyperparameters would promote float32 arrays."""
    options = {k: np.float64(v) if type(v) is float else v for k, v in case.options.items()}
    schedule = case.make(**options)
    for count in range(case.counts):
        new = schedule(count, initial(case))
        assert {type(v) for v in (new["lr"], new.get("momentum", 0.0))} == {float}
        assert {type(v) for v in new.get("betas", (0.0,))} == {float}


# --- the formulas --------------------------------------------------------------------------------

COSINE = (1 + cos(pi / 4)) / 2  # a quarter of the way
BY_HAND = [
    (optim.StepLR(3, gamma=0.5), (1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25)),
    (optim.StepLR(1), (1, 0.1, 0.01)),
    (optim.MultiStepLR([2, 5], gamma=0.5), (1, 1, 0.5, 0.5, 0.5, 0.25, 0.25)),
    (optim.MultiStepLR([3, 1, 3], gamma=0.5), (1, 0.5, 0.5, 0.125)),
    (optim.MultiStepLR([]), (1, 1)),
    (optim.ExponentialLR(0.5), (1, 0.5, 0.25, 0.125)),
    (optim.ConstantLR(0.5, 2), (0.5, 0.5, 1, 1)),
    (optim.ConstantLR(0.0, 1), (0, 1)),
    (optim.LinearLR(0.25, total_iters=3), (0.25, 0.5, 0.75, 1, 1)),
    (optim.LinearLR(0.0, 0.5, 2), (0, 0.25, 0.5, 0.5)),
    (optim.PolynomialLR(4), (1, 0.75, 0.5, 0.25, 0, 0)),
    (optim.PolynomialLR(4, 2.0), (1, 0.5625, 0.25, 0.0625, 0, 0)),
    (optim.LambdaLR(lambda count: count**2), (0, 1, 4, 9)),
    (optim.CosineAnnealingLR(4), (1, COSINE, 0.5, 1 - COSINE, 0, 1 - COSINE, 0.5, COSINE, 1)),
    (optim.CosineAnnealingLR(2, 0.2), (1, 0.6, 0.2, 0.6, 1)),
    (optim.CosineAnnealingWarmRestarts(2), (1, 0.5, 1, 0.5, 1)),
    (optim.CosineAnnealingWarmRestarts(2, 2), (1, 0.5, 1, COSINE, 0.5, 1 - COSINE, 1)),
    (optim.CosineAnnealingWarmRestarts(2, eta_min=0.2), (1, 0.6, 1)),
    (optim.SequentialLR([optim.ConstantLR(0.5, 9), optim.ExponentialLR(0.1)], [2]), (0.5, 0.5, 1, 0.1)),
    (optim.SequentialLR([optim.StepLR(1)], []), (1, 0.1)),
    (optim.ChainedScheduler([optim.ConstantLR(0.5, 2), optim.StepLR(1)]), (0.5, 0.05, 0.01)),
    (optim.ChainedScheduler([optim.StepLR(1), optim.CosineAnnealingLR(2, 0.2)]), (1, 0.15, 0.2)),
    (optim.ChainedScheduler([optim.StepLR(1), optim.LambdaLR(lambda count: 2)]), (2, 0.2, 0.02)),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "expected"), BY_HAND)
def test_rates_by_hand(schedule: optim.Schedule, expected: tuple[float, ...]) -> None:
    assert rates(schedule, len(expected)) == pytest.approx(expected)
    assert schedule.by == "epoch"


def test_every_schedule_of_the_rate_alone_has_values_by_hand() -> None:
    alone = {type(schedule) for schedule, _ in BY_HAND}
    special = {optim.OneCycleLR, optim.ReduceLROnPlateau}
    assert {case.make for case in SCHEDULES} == alone | special


def test_rates_far_away_are_found_at_once() -> None:
    restarts = optim.CosineAnnealingWarmRestarts(10)
    assert rates(restarts, 13)[12] == restarts(10**15 + 2, {"lr": 1.0})["lr"]
    longer = optim.CosineAnnealingWarmRestarts(1, 2)  # cycles end at 2^k − 1
    assert longer(2**60 - 1, {"lr": 1.0})["lr"] == 1.0


def test_the_clock_is_epochs_or_steps() -> None:
    for case in SCHEDULES:
        schedule = case.make(**case.options)
        steps = "by-step" in case.id or case.options.get("by") or case.make is optim.OneCycleLR
        assert schedule.by == ("step" if steps else "epoch")


# --- one cycle -----------------------------------------------------------------------------------


def test_one_cycle_lr_in_straight_lines() -> None:
    schedule = optim.OneCycleLR(
        1.0, 5, 0.4, "linear", div_factor=10.0, final_div_factor=10.0
    )  # the peak is at step 1
    values = [schedule(count, {"lr": 9.0, "momentum": 0.9}) for count in range(5)]
    assert [v["lr"] for v in values] == pytest.approx([0.1, 1.0, 0.67, 0.34, 0.01])
    assert [v["momentum"] for v in values] == pytest.approx([0.95, 0.85, 0.85 + 0.1 / 3, 0.95 - 0.1 / 3, 0.95])  # fmt: skip
    assert schedule.by == "step"


def test_one_cycle_lr_in_half_cosines() -> None:
    schedule = optim.OneCycleLR(0.5, total_steps=10)  # up in 2 steps, down in 7
    start = {"lr": 1.0, "betas": (0.9, 0.999)}
    assert schedule(0, start)["lr"] == pytest.approx(0.5 / 25)
    assert schedule(1, start)["lr"] == pytest.approx((0.5 / 25 + 0.5) / 2)
    assert schedule(2, start) == {"lr": pytest.approx(0.5), "betas": (pytest.approx(0.85), 0.999)}
    lowest = 0.5 / 25 / 1e4
    fall = lowest + (0.5 - lowest) / 2 * (1 + cos(pi * 3 / 7))
    assert schedule(5, start)["lr"] == pytest.approx(fall)
    assert schedule(9, start) == {
        "lr": pytest.approx(lowest),
        "betas": (pytest.approx(0.95), 0.999),
    }


@pytest.mark.parametrize(("steps", "share"), [(10, 0.1), (1, 1.0), (4, 0.25), (1, 0.3), (5, 0.0)])
def test_one_cycle_lr_without_a_rise(steps: int, share: float) -> None:
    found = rates(optim.OneCycleLR(0.5, steps, share, cycle_momentum=False), steps)
    assert found == sorted(found, reverse=True)
    assert found[0] == 0.5 or share * steps < 1


def test_one_cycle_lr_of_three_legs() -> None:
    schedule = optim.OneCycleLR(
        1.0, 10, 0.3, "linear", div_factor=5.0, final_div_factor=2.0, three_phase=True
    )  # up to step 2, down to step 4, to the last rate at step 9
    values = [schedule(count, {"lr": 9.0, "momentum": 0.9}) for count in range(10)]
    third = [0.2 - 0.02 * k for k in range(1, 6)]
    assert [v["lr"] for v in values] == pytest.approx([0.2, 0.6, 1.0, 0.6, 0.2, *third])
    momenta = [0.95, 0.9, 0.85, 0.9, *[0.95] * 6]
    assert [v["momentum"] for v in values] == pytest.approx(momenta)


def test_one_cycle_lr_spans_a_run() -> None:
    schedule = optim.OneCycleLR(0.5)
    with pytest.raises(ValueError, match="needs total_steps outside a Trainer"):
        schedule(0, {"lr": 1.0, "momentum": 0.0})
    spanning = schedule.spanning(100, 20)
    fixed = optim.OneCycleLR(0.5, total_steps=20)
    start = {"lr": 1.0, "momentum": 0.0}
    assert [spanning(100 + k, start) for k in range(20)] == [fixed(k, start) for k in range(20)]
    assert fixed.spanning(5, 15) is fixed
    with pytest.raises(ValueError, match="ends after 20 steps, but the run goes on to step 21"):
        fixed.spanning(5, 16)
    for count in (99, 120):
        with pytest.raises(ValueError, match=f"covers the steps 100 to 119, got {count}"):
            spanning(count, start)


def test_one_cycle_lr_needs_a_momentum_to_cycle() -> None:
    with pytest.raises(
        ValueError, match="cycle_momentum needs an optimizer with momentum or betas"
    ):
        optim.OneCycleLR(0.5, 10)(0, {"lr": 1.0})


# --- schedules of schedules ----------------------------------------------------------------------


def test_sequential_lr_counts_from_each_milestone() -> None:
    parts = [optim.LambdaLR(lambda count, k=k: 100 * k + count) for k in range(3)]
    schedule = optim.SequentialLR(parts, [2, 5])
    assert rates(schedule, 8) == [0, 1, 100, 101, 102, 200, 201, 202]


def test_schedules_of_schedules_of_schedules() -> None:
    warm_up = optim.ChainedScheduler([optim.LinearLR(0.5, total_iters=2), optim.StepLR(1)])
    schedule = optim.SequentialLR([warm_up, optim.ExponentialLR(0.5)], [2])
    twice = optim.ChainedScheduler([schedule, schedule])
    assert rates(schedule, 4) == pytest.approx([0.5, 0.075, 1.0, 0.5])
    assert rates(twice, 4) == pytest.approx([0.25, 0.075**2, 1.0, 0.25])


def test_sequential_lr_takes_its_parts_clock_and_other_hyperparameters() -> None:
    warm_up = optim.LinearLR(0.5, total_iters=2, by="step")
    schedule = optim.SequentialLR([warm_up, optim.OneCycleLR(0.5, 10)], [2])
    assert schedule.by == "step"
    start = {"lr": 1.0, "momentum": 0.9}
    assert schedule(1, start) == {"lr": 0.75}
    assert schedule(2, start) == {"lr": pytest.approx(0.02), "momentum": pytest.approx(0.95)}


def test_sequential_lr_spans_its_parts() -> None:
    warm_up = optim.LinearLR(by="step")
    schedule = optim.SequentialLR([optim.OneCycleLR(0.5), warm_up, optim.OneCycleLR(0.1)], [20, 25])
    start = {"lr": 1.0, "betas": (0.9, 0.9)}
    first, last = optim.OneCycleLR(0.5, 20), optim.OneCycleLR(0.1, 10)

    whole = schedule.spanning(0, 35)
    assert [whole(k, start) for k in range(20)] == [first(k, start) for k in range(20)]
    assert [whole(20 + k, start) for k in range(5)] == [warm_up(k, start) for k in range(5)]
    assert [whole(25 + k, start) for k in range(10)] == [last(k, start) for k in range(10)]

    later = schedule.spanning(40, 10)  # the last cycle is this run's
    assert [later(40 + k, start) for k in range(10)] == [last(k, start) for k in range(10)]
    assert later(7, start) == first(7, start)

    middle = optim.SequentialLR([warm_up, optim.OneCycleLR(0.5), warm_up], [5, 25]).spanning(0, 30)
    assert [middle(5 + k, start) for k in range(20)] == [first(k, start) for k in range(20)]

    short = schedule.spanning(0, 25)  # a run that does not reach the last one
    assert short(24, start) == warm_up(4, start)
    with pytest.raises(ValueError, match="needs total_steps outside a Trainer"):
        short(25, start)
    with pytest.raises(ValueError, match="the data does not say its length"):
        schedule.spanning(0, None)
    fixed = optim.SequentialLR([warm_up, optim.OneCycleLR(0.1, 10)], [5])
    for same in (fixed.spanning(0, None), fixed.spanning(0, 15)):
        assert [same(k, start) for k in range(15)] == [fixed(k, start) for k in range(15)]
    with pytest.raises(ValueError, match="ends after 10 steps, but the run goes on to step 11"):
        fixed.spanning(0, 16)
    with pytest.raises(ValueError, match="OneCycleLR ends after 5 steps, but"):
        optim.SequentialLR([optim.OneCycleLR(0.1, 5), warm_up], [6]).spanning(0, 9)
    by_epoch = optim.SequentialLR([optim.LinearLR(), optim.StepLR(1)], [5])
    assert by_epoch.spanning(7, 3) is by_epoch


def test_chained_scheduler_spans_its_parts() -> None:
    decay, cycle = optim.ExponentialLR(0.5, by="step"), optim.OneCycleLR(0.5, cycle_momentum=False)
    found = rates(optim.ChainedScheduler([cycle, decay]).spanning(0, 8), 8)
    alone = rates(optim.OneCycleLR(0.5, 8, cycle_momentum=False), 8)
    assert found == pytest.approx([lr * 0.5**k for k, lr in enumerate(alone)])


def test_chained_scheduler_hands_on_all_hyperparameters() -> None:
    schedule = optim.ChainedScheduler([optim.OneCycleLR(0.5, 10), optim.StepLR(3, by="step")])
    new = schedule(4, {"lr": 1.0, "momentum": 0.9})
    cycle = optim.OneCycleLR(0.5, 10)(4, {"lr": 1.0, "momentum": 0.9})
    assert new == {"lr": pytest.approx(cycle["lr"] * 0.1), "momentum": cycle["momentum"]}


# --- plateaus ------------------------------------------------------------------------------------


def reduced(schedule: optim.ReduceLROnPlateau, values: list[float], lr: float = 1.0) -> list[float]:
    """Return the rate after each of the observed values."""
    found = []
    for value in values:
        schedule.observe({schedule.monitor: value})
        found.append(schedule(0, {"lr": lr})["lr"])
    return found


PLATEAUS = [
    ({"patience": 1}, (3, 2, 2, 2, 2, 2), (1, 1, 1, 0.1, 0.1, 0.01)),
    ({"patience": 0}, (3, 3, 2, 2), (1, 0.1, 0.1, 0.01)),
    ({"patience": 0, "factor": 0.5}, (1, nan, 0.5, nan), (1, 0.5, 0.5, 0.25)),
    ({"patience": 0, "threshold": 0.1}, (10, 9.5, 8.5, 8.5), (1, 0.1, 0.1, 0.01)),
    ({"patience": 0, "threshold": 0.1}, (-10, -10.5, -9.6), (1, 1, 1)),  # below −10.5 · 0.9
    ({"patience": 0, "threshold": 1.0, "threshold_mode": "abs"}, (10, 9.5, 8.9), (1, 0.1, 0.1)),
    ({"patience": 0, "mode": "max"}, (1, 2, 1, 3), (1, 1, 0.1, 0.1)),
    ({"patience": 0, "mode": "max", "threshold": 0.1}, (10, 10.5, 11.5), (1, 0.1, 0.1)),
    ({"patience": 0, "mode": "max", "threshold_mode": "abs", "threshold": 1}, (1, 2, 3), (1, 0.1, 0.1)),
    ({"patience": 0, "monitor": "val_accuracy"}, (0.5, 0.6, 0.6), (1, 1, 0.1)),
    ({"patience": 0, "cooldown": 2}, (1, 1, 1, 1, 1, 1), (1, 0.1, 0.1, 0.1, 0.01, 0.01)),
    ({"patience": 0, "min_lr": 0.05}, (1, 1, 1, 1), (1, 0.1, 0.05, 0.05)),
    ({"patience": 0, "eps": 0.5}, (1, 1, 1, 1), (1, 0.1, 0.1, 0.1)),
    ({"patience": 0, "eps": 0.5, "factor": 0.5}, (1, 1, 1), (1, 1, 1)),
    ({"patience": 0, "min_lr": 2.0}, (1, 1, 1), (1, 1, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("options", "values", "expected"), PLATEAUS)
def test_plateaus_by_hand(options: Any, values: Any, expected: Any) -> None:
    assert reduced(optim.ReduceLROnPlateau(**options), values) == pytest.approx(expected)


def test_a_plateaus_state_is_plain_numbers_and_continues() -> None:
    values = [5, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2]
    options = {"patience": 1, "cooldown": 1, "factor": 0.5}
    whole = reduced(optim.ReduceLROnPlateau(**options), values)
    for at in range(len(values)):
        schedule = optim.ReduceLROnPlateau(**options)
        before = reduced(schedule, values[:at])
        state = json.loads(json.dumps(schedule.state_dict()))
        assert state == schedule.state_dict()
        other = optim.ReduceLROnPlateau(**options)
        other.load_state_dict(state)
        assert before + reduced(other, values[at:]) == whole
    assert optim.ReduceLROnPlateau().state_dict()["best"] == inf


@every_schedule
def test_a_state_belongs_to_its_schedule(case: ScheduleCase) -> None:
    schedule = case.make(**case.options)
    schedule.load_state_dict(schedule.state_dict())
    schedule.check(("loss", "val_loss", "val_accuracy"))
    if case.make is not optim.ReduceLROnPlateau:
        assert schedule.state_dict() == {}
        schedule.check(())
        schedule.observe({"loss": 1.0})
        assert repr(schedule) == repr(case.make(**case.options))
    with pytest.raises(
        ValueError, match=f"{case.make.__name__}: expected a state of .*, got .*'x'"
    ):
        schedule.load_state_dict(schedule.state_dict() | {"x": 1})


# --- in a Trainer --------------------------------------------------------------------------------

X, TARGET = np.arange(12.0).reshape(6, 2), np.ones((6, 1))


def trainer(schedule: optim.Schedule, lr: float = 0.0) -> pn.Trainer:
    model = fill(nn.Linear(2, 1))
    return pn.Trainer(model, nn.MSELoss(), optim.SGD(model, lr=lr), schedule, metrics=())


def test_a_trainer_tells_the_schedule_of_its_epochs() -> None:
    schedule = optim.ReduceLROnPlateau(patience=1, monitor="loss", min_lr=0.002)
    watched = trainer(schedule, lr=0.1)
    watched.model.params["weight"] = [[0.0, 0.0]]
    watched.model.params["bias"] = [1.0]  # the loss is 0 from the start
    history = watched.fit((X, TARGET), epochs=4, batch_size=2, progress=False)
    assert history["lr"] == pytest.approx([0.1, 0.1, 0.1, 0.01])
    assert history.steps["lr"] == pytest.approx([0.1] * 9 + [0.01] * 3)
    watched.fit((X, TARGET), epochs=3, progress=False)  # goes on
    assert history["lr"][4:] == pytest.approx([0.01, 0.002, 0.002])


def test_a_trainer_tells_the_schedule_of_the_validation() -> None:
    class Recorder(optim.Schedule):
        """Keeps what it is told."""

        def __init__(self) -> None:
            self.logs: list[Any] = []

        def __call__(self, count: int, initial: Any) -> dict[str, Any]:
            return {}

        def observe(self, logs: Any) -> None:
            self.logs.append(dict(logs))

    told: list[int] = []

    class Listener(pn.Callback):
        def on_epoch_end(self, trainer: Any, epoch: int, logs: Any) -> None:
            told.append(len(schedule.logs))

    schedule = Recorder()
    watched = trainer(schedule, lr=1e-3)
    watched.callbacks.append(Listener())
    options = {"epochs": 2, "validation_data": (X, TARGET), "progress": False}
    history = watched.fit((X, TARGET), **options)
    assert [logs["val_loss"] for logs in schedule.logs] == history["val_loss"]
    assert [logs["loss"] for logs in schedule.logs] == history["loss"]
    assert told == [1, 2]  # before the callbacks, which may save its state


def test_each_trainer_has_the_state_for_itself() -> None:
    schedule = optim.ReduceLROnPlateau(patience=0, threshold=0.9, monitor="loss")
    runs = [trainer(schedule, lr=1e-3) for _ in range(2)]
    rates = [run.fit((X, TARGET), epochs=4, progress=False)["lr"] for run in runs]
    assert rates[0] == rates[1]
    assert rates[0][-1] < rates[0][0]
    assert schedule.state_dict() == optim.ReduceLROnPlateau().state_dict()
    again = trainer(schedule)
    again.load_state_dict(runs[0].state_dict())
    assert again.schedule.state_dict() == runs[0].schedule.state_dict() != schedule.state_dict()
    stateless = optim.LambdaLR(lambda count: 0.5)
    assert trainer(stateless).schedule is stateless


def test_a_quantity_that_will_not_be_there_is_an_error_before_training() -> None:
    watched = trainer(optim.ReduceLROnPlateau())
    message = "ReduceLROnPlateau watches 'val_loss', but there are loss; a val_… quantity needs"
    with pytest.raises(ValueError, match=message):
        watched.fit((X, TARGET), progress=False)
    assert watched.step == 0
    watched.fit((X, TARGET), steps=1, validation_data=(X, TARGET), progress=False)


# --- checks --------------------------------------------------------------------------------------


def test_a_schedule_without_a_formula_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        optim.Schedule()
