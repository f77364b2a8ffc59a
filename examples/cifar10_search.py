"""Search for good settings of the two-layer network: what cifar10_two_layer.py --search N does.

Optuna proposes settings, by what came of earlier ones (a tree of Parzen estimators; Bergstra et
al., "Algorithms for hyper-parameter optimization", 2011). A trial trains with them on all training
images but 5,000, and is given up when it validates on those worse than the median of the earlier
ones did at the same share of their training. The test images are looked at once, in the end, by
the weights that validated best.

Whatever a trial finds is kept in an SQLite file, so that a search can be interrupted and continued,
or made longer, at any time. Every trial's random numbers depend on the seed and on how many trials
were finished before it, so the continued search is the one that would have been without the break.
"""

import argparse
import csv
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from common import COLORS
from optuna.trial import FrozenTrial, TrialState

import portanet as pn
from portanet import data, nn, optim

HELD_OUT = 5000  # images that validate
PARTS = 10  # of a trial; after each of them it is validated, and may be pruned
QUICK = 50  # by what a trial's iterations are divided with --quick
RANDOM = 3  # trials before the estimators have seen enough, and before any is given up
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
Split = tuple[Any, Any]
Network = Callable[..., nn.Layer]  # called with the hidden size and the probability of dropout

# The first trial: the program's own settings. Then what is proposed, within these bounds.
FIRST = {
    "hidden": 200,
    "lr": 0.01,
    "momentum": 0.9,
    "batch_size": 40,
    "iterations": 2000,
    "weight_decay": 1e-5,
    "dropout": 0.0,
    "schedule": "cosine",
}


def proposed(trial: optuna.Trial) -> dict[str, Any]:
    """Return the settings that a trial is to be made with."""
    return {
        "hidden": trial.suggest_int("hidden", 200, 800, step=100),
        "lr": trial.suggest_float("lr", 0.003, 0.05, log=True),
        "momentum": trial.suggest_float("momentum", 0.8, 0.95),
        "batch_size": trial.suggest_categorical("batch_size", (40, 64, 128)),
        "iterations": trial.suggest_int("iterations", 1000, 4000, step=1000),
        "weight_decay": trial.suggest_float("weight_decay", 1e-5, 1e-3, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.4),
        "schedule": trial.suggest_categorical("schedule", ("constant", "cosine", "one-cycle")),
    }


def scheduled(name: str, lr: float, steps: int) -> optim.Schedule | None:
    """Return a schedule by its name in the space."""
    if name == "one-cycle":
        return optim.OneCycleLR(max_lr=lr, total_steps=steps, cycle_momentum=False)
    return optim.CosineAnnealingLR(T_max=steps, by="step") if name == "cosine" else None


@dataclass
class Search:
    """A search; its study may hold trials of an earlier run."""

    study: optuna.Study
    network: Network
    train: Split
    validation: Split
    weights: Path  # where the best ones are kept
    seed: int  # of everything random
    shorter: int = 1  # by what the iterations are divided

    def run(self, trials: int) -> None:
        """Go on until so many trials are finished; print a line for each."""
        if len(self.trials()) < trials:
            print(TITLE)
        while (done := len(self.trials())) < trials:
            if not done and not self.trials(TrialState.WAITING):
                self.study.enqueue_trial(FIRST)
            # A sampler of its own for each trial: it is the same whether or not the search was
            # interrupted before, and an interrupted trial is repeated.
            seed = int(pn.Key(self.seed).child("trial", done).integers(2**32, (1,))[0])
            self.study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM)
            self.study.optimize(self.trial, n_trials=1)
            print(row(done + 1, self.trials()[-1]), flush=True)

    def trial(self, trial: optuna.Trial) -> float:
        """Train with the settings proposed and return the validation accuracy."""
        s = proposed(trial)
        model = self.network(s["hidden"], s["dropout"])
        model.initialize(self.seed, weight=nn.HeNormal(), bias=0)
        part = s["iterations"] // self.shorter // PARTS
        options = {name: s[name] for name in ("lr", "momentum", "weight_decay")}
        trainer = pn.Trainer(
            model,
            nn.CrossEntropyLoss(),
            optim.SGD(model, **options),
            schedule=scheduled(s["schedule"], s["lr"], part * PARTS),
            seed=self.seed,
        )
        batches = data.DataLoader(self.train, s["batch_size"], shuffle=True, seed=self.seed)
        for k in range(PARTS):
            if trainer.fit(batches, steps=part, progress=False).interrupted:
                raise KeyboardInterrupt
            accuracy = trainer.evaluate(self.validation)["accuracy"]
            trial.report(accuracy, k)
            if k + 1 < PARTS and trial.should_prune():
                raise optuna.TrialPruned
        # Before the study knows of it: no interruption leaves a best trial without its weights.
        best = self.best
        if best is None or accuracy > best.value:
            pn.save_weights(model, self.weights)
        return accuracy

    @property
    def best(self) -> FrozenTrial | None:
        """The trial that validated best, the first of equals; None before there is one."""
        return max(self.trials(TrialState.COMPLETE), key=lambda t: t.value, default=None)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in these states; else those that count, which were not interrupted."""
        return self.study.get_trials(deepcopy=False, states=states or FINISHED)


def search(network: Network, train: Split, test: Split, args: argparse.Namespace) -> None:
    """Search as the program's arguments say; show, draw and test what was found."""
    weights, table = (args.study.with_suffix(suffix) for suffix in (".npz", ".csv"))
    (x, y), backend = train, pn.backend_of(train[1])
    held = min(HELD_OUT, x.shape[0] // 10)
    parts = (x[:-held, ...], y[:-held]), (x[-held:, ...], y[-held:])
    about = {
        "images": x.shape[0],
        "labels": zlib.crc32(backend.to_numpy(y).tobytes()),
        "quick": args.quick,
        "seed": args.seed,
    }
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with opened(args.study, about) as study:
        found = Search(study, network, *parts, weights, args.seed, QUICK if args.quick else 1)
        if done := len(found.trials()):
            print(f"{args.study} holds {done} trials")
        try:
            found.run(args.search)
        except KeyboardInterrupt:
            print(f"interrupted: the same command goes on after {len(found.trials())} trials")
            raise
        trials, best = found.trials(), found.best
    print(f"\nthe {len(trials)} trials, the best first\n{TITLE}")
    ranked = sorted(enumerate(trials, 1), key=lambda item: (item[1].state, -item[1].value))
    for number, trial in ranked:
        print(row(number, trial))
    write_table(table, ranked)
    model = network(best.params["hidden"]).initialize()
    try:
        pn.load_weights(model, weights)
    except ValueError as error:
        raise data.DataError(f"{weights}: not the weights of the best trial: {error}") from None
    trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model))
    accuracy = trainer.evaluate(test)["accuracy"]
    print(f"the best weights are in {weights}, the table is in {table}")
    print(f"test accuracy {accuracy:.4f} on {test[1].shape[0]:,} images, looked at only now")
    if args.plot:
        draw(args.plot, trials, best)
        print(f"plot written to {args.plot}")


@contextmanager
def opened(path: Path, about: dict[str, Any]) -> Iterator[optuna.Study]:
    """Give the study in a file, new or old; raise DataError where it is not of this search."""
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    except Exception as error:  # of SQLAlchemy, of SQLite, of Optuna
        reason = str(error).partition("\n")[0]
        raise data.DataError(f"{path}: cannot be read as a study: {reason}") from None
    try:
        study = optuna.create_study(
            study_name="cifar10_two_layer",
            storage=storage,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=RANDOM, n_warmup_steps=PARTS // 3),
            load_if_exists=True,
        )
        before = study.user_attrs.get("about", about)
        if before != about:
            raise data.DataError(
                f"{path}: holds a search of {before}, this is one of {about}. "
                "Go on with its own settings, or begin another: --study FILE.db"
            )
        study.set_user_attr("about", about)
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


COLUMNS = {
    "hidden": "d",
    "lr": ".4f",
    "momentum": ".3f",
    "batch_size": "d",
    "iterations": "d",
    "weight_decay": ".1e",
    "dropout": ".2f",
    "schedule": "s",
}
TITLE = "trial  " + "  ".join(f"{name:>8}" for name in COLUMNS) + "  validation"


def row(number: int, trial: FrozenTrial) -> str:
    """Return a line of the table."""
    settings = (
        format(trial.params[name], f">{max(8, len(name))}{form}") for name, form in COLUMNS.items()
    )
    line = f"{number:5}  {'  '.join(settings)}  {trial.value:10.4f}"
    return line if done(trial) == 1 else f"{line}  given up after {done(trial):.0%}"


def done(trial: FrozenTrial) -> float:
    """Return the share of its iterations that a trial has made."""
    return len(trial.intermediate_values) / PARTS


def write_table(path: Path, ranked: list[tuple[int, FrozenTrial]]) -> None:
    """Write the table as CSV, with all digits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", *COLUMNS, "done", "validation_accuracy"])
        for number, trial in ranked:
            settings = [trial.params[name] for name in COLUMNS]
            writer.writerow([number, *settings, done(trial), trial.value])


def draw(path: Path, trials: list[FrozenTrial], best: FrozenTrial) -> None:
    """Draw each trial's validation accuracy while it trained."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.2), layout="constrained")
    axes = figure.subplots()
    for k, trial in enumerate([*trials, best]):
        if k == len(trials):  # once more, above the others
            color, width, label = COLORS[1], 2.5, f"the best: {summary(best)}"
        elif k == 0:
            color, width, label = COLORS[6], 1.5, "the first: the program's own settings"
        elif trial.state == TrialState.PRUNED:
            color, width, label = "0.7", 1.0, "given up: below the median of those before"
        else:
            color, width, label = COLORS[0], 1.0, "trained to the end"
        values = [100 * value for value in trial.intermediate_values.values()]
        shares = [100 * (part + 1) / PARTS for part in range(len(values))]
        axes.plot(shares, values, ".-", color=color, linewidth=width, label=label)
    axes.set(
        xlabel="share of a trial's iterations (%)",
        ylabel="validation accuracy (%)",
        title=f"{len(trials)} settings of two layers tried on CIFAR-10",
    )
    axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    kinds = dict(zip(labels, handles, strict=True))  # each once
    figure.legend(kinds.values(), kinds, loc="outside lower center", frameon=False)
    figure.savefig(path, dpi=100)


def summary(trial: FrozenTrial) -> str:
    """Return a trial's settings in few words."""
    p = trial.params
    return (
        f"{p['hidden']} hidden units, rate {p['lr']:.2g} ({p['schedule']}), "
        f"dropout {p['dropout']:.2g}, {p['iterations']:,} × {p['batch_size']} images"
    )
