# ruff: noqa: E501 (a table: a line for each bad call)
"""Bad options of schedules, bad counts, runs and states."""

from portanet import nn, optim

INF, NAN = float("inf"), float("nan")
PLATEAU = optim.ReduceLROnPlateau


def sgd():
    return optim.SGD(nn.Linear(2, 1))


class Falling(optim.Schedule):
    """Returns the rate, which `apply` takes in a dict."""

    def __call__(self, count, initial):
        return 1 / count


# fmt: off
LINES = [
    ("optim.StepLR", lambda: optim.StepLR(0), ValueError, "step_size must be at least 1, got 0"),
    ("optim.StepLR", lambda: optim.StepLR(1.5), TypeError, "step_size must be an int, got 1.5"),
    ("optim.StepLR", lambda: optim.StepLR(1, -0.1), ValueError, "gamma must be in [0, inf], got -0.1"),
    ("optim.StepLR", lambda: optim.StepLR(1, by="hour"), ValueError, "by must be 'epoch' or 'step', got 'hour'"),
    ("optim.StepLR", lambda: optim.StepLR(1, factor=0.1), TypeError, "StepLR has no option 'factor'"),
    ("optim.MultiStepLR", lambda: optim.MultiStepLR([1.5]), TypeError, "milestones must be an int, got 1.5"),
    ("optim.MultiStepLR", lambda: optim.MultiStepLR([-1]), ValueError, "milestones must be at least 0, got -1"),
    ("optim.MultiStepLR", lambda: optim.MultiStepLR([1], -1), ValueError, "gamma must be in [0, inf], got -1"),
    ("optim.ExponentialLR", lambda: optim.ExponentialLR(-0.1), ValueError, "gamma must be in [0, inf], got -0.1"),
    ("optim.ConstantLR", lambda: optim.ConstantLR(1.1), ValueError, "factor must be in [0, 1], got 1.1"),
    ("optim.ConstantLR", lambda: optim.ConstantLR(1, 0), ValueError, "total_iters must be at least 1, got 0"),
    ("optim.LinearLR", lambda: optim.LinearLR(-0.1), ValueError, "start_factor must be in [0, 1], got -0.1"),
    ("optim.LinearLR", lambda: optim.LinearLR(1, 1.1), ValueError, "end_factor must be in [0, 1], got 1.1"),
    ("optim.LinearLR", lambda: optim.LinearLR(1, 1, 0), ValueError, "total_iters must be at least 1, got 0"),
    ("optim.PolynomialLR", lambda: optim.PolynomialLR(0), ValueError, "total_iters must be at least 1, got 0"),
    ("optim.PolynomialLR", lambda: optim.PolynomialLR(1, -1), ValueError, "power must be in [0, inf], got -1"),
    ("optim.LambdaLR", lambda: optim.LambdaLR(0.5), TypeError, "lr_lambda must be a function of the count, got 0.5"),
    ("optim.CosineAnnealingLR", lambda: optim.CosineAnnealingLR(0), ValueError, "T_max must be at least 1, got 0"),
    ("optim.CosineAnnealingLR", lambda: optim.CosineAnnealingLR(1, -1), ValueError, "eta_min must be in [0, inf], got -1"),
    ("optim.CosineAnnealingWarmRestarts", lambda: optim.CosineAnnealingWarmRestarts(0), ValueError, "T_0 must be at least 1, got 0"),
    ("optim.CosineAnnealingWarmRestarts", lambda: optim.CosineAnnealingWarmRestarts(1, 0), ValueError, "T_mult must be at least 1, got 0"),
    ("optim.CosineAnnealingWarmRestarts", lambda: optim.CosineAnnealingWarmRestarts(1, eta_min=-1), ValueError, "eta_min must be in"),
    ("optim.SequentialLR", lambda: optim.SequentialLR([], []), ValueError, "SequentialLR: expected at least one schedule"),
    ("optim.SequentialLR", lambda: optim.SequentialLR([optim.StepLR(1)], [1]), ValueError, "between each two of 1 schedules, got [1]"),
    ("optim.SequentialLR", lambda: optim.SequentialLR([optim.StepLR(1)] * 3, [2, 2]), ValueError, "in rising order, got [2, 2]"),
    ("optim.SequentialLR", lambda: optim.SequentialLR([optim.StepLR(1)] * 2, [0]), ValueError, "milestones must be at least 1"),
    ("optim.SequentialLR", lambda: optim.SequentialLR(schedules=[]), TypeError, "no option 'schedules'; did you mean 'schedulers'"),
    ("optim.ChainedScheduler", lambda: optim.ChainedScheduler([]), ValueError, "ChainedScheduler: expected at least one schedule"),
    ("optim.ChainedScheduler", lambda: optim.ChainedScheduler([0.5]), TypeError, "schedulers must be a Schedule, got 0.5"),
    ("optim.ChainedScheduler", lambda: optim.ChainedScheduler([optim.ReduceLROnPlateau()]), ValueError, "ReduceLROnPlateau keeps state and stands alone"),
    ("optim.ChainedScheduler", lambda: optim.ChainedScheduler([optim.StepLR(1), optim.OneCycleLR(1)]), ValueError, "by one clock, got epoch, step"),
    ("optim.ReduceLROnPlateau", lambda: optim.ReduceLROnPlateau("low"), ValueError, "mode must be 'auto', 'min' or 'max', got 'low'"),
    ("optim.ReduceLROnPlateau", lambda: optim.ReduceLROnPlateau(monitor="val_f1"), ValueError, "say with mode='min' or 'max' which 'val_f1'"),
    ("optim.ReduceLROnPlateau", lambda: optim.ReduceLROnPlateau(factor=1.0), ValueError, "factor must be in [0, 1), got 1.0"),
    ("optim.ReduceLROnPlateau", lambda: optim.ReduceLROnPlateau(factor=-1), ValueError, "factor must be in [0, inf], got -1"),
    ("optim.ReduceLROnPlateau", lambda: optim.ReduceLROnPlateau(patience=-1), ValueError, "patience must be at least 0, got -1"),
    ("optim.ReduceLROnPlateau", lambda: optim.ReduceLROnPlateau(threshold=-1), ValueError, "threshold must be in [0, inf], got -1"),
    ("optim.ReduceLROnPlateau", lambda: optim.ReduceLROnPlateau(threshold_mode="x"), ValueError, "threshold_mode must be 'rel' or 'abs', got 'x'"),
    ("optim.ReduceLROnPlateau", lambda: optim.ReduceLROnPlateau(cooldown=-1), ValueError, "cooldown must be at least 0, got -1"),
    ("optim.ReduceLROnPlateau", lambda: optim.ReduceLROnPlateau(min_lr=-1), ValueError, "min_lr must be in [0, inf], got -1"),
    ("optim.ReduceLROnPlateau", lambda: optim.ReduceLROnPlateau(eps=-1), ValueError, "eps must be in [0, inf], got -1"),
    ("optim.OneCycleLR", lambda: optim.OneCycleLR(-1), ValueError, "max_lr must be in [0, inf], got -1"),
    ("optim.OneCycleLR", lambda: optim.OneCycleLR(1, 0), ValueError, "total_steps must be at least 1, got 0"),
    ("optim.OneCycleLR", lambda: optim.OneCycleLR(1, 9, 1.1), ValueError, "pct_start must be in [0, 1], got 1.1"),
    ("optim.OneCycleLR", lambda: optim.OneCycleLR(1, 9, 0.3, "log"), ValueError, "anneal_strategy must be 'cos'"),
    ("optim.OneCycleLR", lambda: optim.OneCycleLR(1, div_factor=0), ValueError, "div_factor must be positive, got 0"),
    ("optim.OneCycleLR", lambda: optim.OneCycleLR(1, final_div_factor=0.0), ValueError, "final_div_factor must be pos"),
    ("optim.OneCycleLR", lambda: optim.OneCycleLR(1, max_momentum=-1), ValueError, "max_momentum must be in [0, 1]"),
    ("optim.OneCycleLR", lambda: optim.OneCycleLR(1, base_momentum=2), ValueError, "base_momentum must be in [0, 1]"),
    ("optim.StepLR", lambda: optim.StepLR(1, NAN), ValueError, "gamma must be in [0, inf], got nan"),
    ("optim.StepLR", lambda: optim.StepLR(1, "0.1"), TypeError, "gamma must be a number, got '0.1'"),
    ("optim.MultiStepLR", lambda: optim.MultiStepLR(5), TypeError, "milestones must be a list, got 5"),
    ("optim.ExponentialLR", lambda: optim.ExponentialLR(INF), ValueError, "gamma must be finite, got inf"),
    ("optim.ExponentialLR", lambda: optim.ExponentialLR(1.5)(2000, {"lr": 0.1}), OverflowError, "ExponentialLR(gamma=1.5): the rate after 2000 epochs is beyond the largest number"),
    ("optim.StepLR", lambda: optim.StepLR(2, 4.0, "step")(9999, {"lr": 0.1}), OverflowError, "the rate after 9999 steps is beyond"),
    ("optim.LambdaLR", lambda: optim.LambdaLR(lambda count: NAN)(0, {"lr": 0.1}), ValueError, "LambdaLR: what lr_lambda returns must be in [0, inf], got nan"),
    ("optim.LambdaLR", lambda: optim.LambdaLR(lambda count: -1.0)(0, {"lr": 0.1}), ValueError, "LambdaLR: what lr_lambda returns must be in [0, inf], got -1.0"),
    ("optim.LambdaLR", lambda: optim.LambdaLR(lambda count: None)(0, {"lr": 0.1}), TypeError, "LambdaLR: what lr_lambda returns must be a number, got None"),
    ("optim.SequentialLR", lambda: optim.SequentialLR(optim.StepLR(1), []), TypeError, "schedulers must be a list, got StepLR("),
    ("optim.SequentialLR", lambda: optim.SequentialLR([optim.StepLR(1)] * 2, 5), TypeError, "milestones must be a list, got 5"),
    ("optim.ReduceLROnPlateau", lambda: PLATEAU(monitor=3), TypeError, "monitor must be a str, got 3"),
    ("optim.OneCycleLR", lambda: optim.OneCycleLR(1, cycle_momentum="no"), TypeError, "cycle_momentum must be True or False, got 'no'"),
    ("optim.OneCycleLR", lambda: optim.OneCycleLR(1, three_phase=3), TypeError, "three_phase must be True or False, got 3"),
    ("optim.OneCycleLR", lambda: optim.OneCycleLR(1)(0, {"lr": 0.1}), ValueError, "OneCycleLR needs total_steps outside a Trainer"),
    ("optim.OneCycleLR", lambda: optim.OneCycleLR(1, 9)(9, {"lr": 0.1}), ValueError, "OneCycleLR covers the steps 0 to 8, got 9"),
    ("optim.OneCycleLR", lambda: optim.OneCycleLR(1, 9)(0, {"lr": 0.1}), ValueError, "cycle_momentum needs an optimizer with momentum or betas"),
    # --- what they are asked ---
    ("optim.Schedule", lambda: optim.Schedule(), TypeError, "abstract"),
    ("optim.Schedule", lambda: optim.StepLR(sgd(), 10), TypeError, "StepLR: schedules take no optimizer; a Trainer brings both together: Trainer(model, loss, optimizer, schedule=StepLR(…))"),
    ("optim.Schedule", lambda: optim.LambdaLR(lr_lambda=sgd()), TypeError, "LambdaLR: schedules take no optimizer"),
    ("optim.Schedule.of", lambda: optim.Schedule.of(optim.StepLR), TypeError, "schedule must be a Schedule, got <class"),
    ("optim.Schedule.apply", lambda: Falling().apply(sgd(), 2), TypeError, 'Falling must return a dict, {"lr": …}, got 0.5'),
    ("optim.Schedule.__call__", lambda: optim.StepLR(2)(0, {}), KeyError, "lr"),
    ("optim.Schedule.apply", lambda: optim.OneCycleLR(1, 9).apply(sgd(), 9), ValueError, "OneCycleLR covers the steps 0 to 8, got 9"),
    ("optim.Schedule.apply", lambda: optim.StepLR(2).apply(nn.Linear(2, 1), 0), TypeError, "optimizer must be an Optimizer, got Linear("),
    ("optim.Schedule.spanning", lambda: optim.OneCycleLR(1, 9).spanning(5, 9), ValueError, "OneCycleLR ends after 9 steps, but the run goes on to step 14"),
    ("optim.Schedule.check", lambda: PLATEAU().check(("loss", "accuracy")), ValueError, "ReduceLROnPlateau watches 'val_loss', but there are loss, accuracy; a val_… quantity needs validation_data"),
    ("optim.Schedule.observe", lambda: PLATEAU().observe({"loss": 1.0}), ValueError, "ReduceLROnPlateau watches 'val_loss', but there are loss; a val_… quantity needs validation_data"),
    ("optim.Schedule.load_state_dict", lambda: optim.StepLR(2).load_state_dict({"best": 1.0}), ValueError, "StepLR: expected a state of [], got ['best']"),
    ("optim.Schedule.load_state_dict", lambda: PLATEAU().load_state_dict({}), ValueError, "ReduceLROnPlateau: expected a state of ['best', 'cooldown_counter', 'num_bad_epochs', 'reductions'], got []"),
    ("optim.Schedule.load_state_dict", lambda: PLATEAU().load_state_dict(PLATEAU().state_dict() | {"reductions": -1}), ValueError, "reductions must be at least 0, got -1"),
]
