"""The layer under test: fresh copies of it on any backend, and their runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from portanet.backend import Array, Backend, dtype_name
from portanet.layercheck.compare import Results, agree, explain
from portanet.layercheck.report import Failed, Skipped
from portanet.nn.context import Context, Pullback
from portanet.nn.declared import join
from portanet.nn.layer import Layer
from portanet.nn.running import kind, output, pulled
from portanet.random import Key
from portanet.selection import use_backend

MODES = (True, False)  # training and inference


class Subject:
    """A layer and inputs for it, on NumPy in float64: what all copies are made of.

    It is never run itself, so each check meets the layer as it came.
    """

    def __init__(self, layer: Layer, x: Any, seed: int) -> None:
        self.key = Key(seed).child("check_layer")
        with use_backend("numpy", dtype="float64") as self.host:
            self.xp = self.host.xp
            self.x = self.host.asarray(x)
            if not self.x.size or not bool(self.xp.all(self.xp.isfinite(self.x))):
                raise ValueError("check_layer: x must hold numbers, all of them finite")
            self.of_integers = self.x.dtype not in self.host.floats
            # The same numbers elsewhere: indices stay in their range.
            other = self.xp.flip(self.x)
            self.inputs = (self.x, other if self.of_integers else 0.9 * other)
            try:
                self.layer = deepcopy(layer).to(self.host, dtype="float64").unfreeze()
                self._fill()
                self._check_form()
                self.repeats = [training for training in MODES if self._repeats(training)]
            except Exception as error:
                raise ValueError(
                    f"{layer.label} cannot run on x of shape {self.x.shape}: "
                    f"{explain(error, layer)}"
                ) from error

    def __str__(self) -> str:
        arrays = dict(self.layer.params) | self.layer.buffers
        own = [f"{n} {array.shape}" for n, array in arrays.items()] or ["no parameters"]
        if len(own) > 6:
            own[5:] = [f"{len(own) - 5} more arrays"]
        x = f"{dtype_name(self.x)} of shape {self.x.shape}"
        return f"{self.layer.label} on {x}; {', '.join(own)}"

    @contextmanager
    def on(
        self, name: str = "numpy", device: Any = None, dtype: str = "float64"
    ) -> Iterator["Trial"]:
        """Give a fresh copy of the layer on a backend, which is selected meanwhile."""
        with use_backend(name, device=device, dtype=dtype) as backend:
            yield Trial(self, backend)

    def run(self, training: bool, dtype: str = "float64", **options: Any) -> Results:
        """Return all that a pass computes on a fresh copy on NumPy, by name."""
        with self.on(dtype=dtype) as trial:
            return trial.to_host(trial.run(training, **options))

    def modes(self) -> list[bool]:
        """Return the modes in which two passes can be compared; raises Skipped for none."""
        if not self.repeats:
            raise Skipped("no two passes are alike")
        return self.repeats

    def check_repeats(self, training: bool) -> None:
        """Raise Failed where two passes with one key give two results."""
        with self.on() as trial:
            ys = [trial.forward(trial.context(training))[0] for _ in range(2)]
            first, second = (trial.to_host({"y": y}) for y in ys)
        hint = "two passes, one ctx.rng: does vjp draw from elsewhere, or change the layer?"
        agree(self.xp, second, first, hint)

    def _repeats(self, training: bool) -> bool:
        try:
            self.check_repeats(training)
        except Failed:
            return False
        except Exception:  # is told by the checks that meet it
            return True
        return True

    def _fill(self) -> None:
        """Move the arrays off values that hide faults: a scale of 1, a mean or a shift of 0.

        Upwards, so that a variance stays one.
        """
        for arrays in (self.layer.params, self.layer.buffers):
            for n, array in arrays.items():
                if array.dtype in self.host.floats:
                    arrays[n] = array + 0.3 * self.key.child("fill", n).uniform(array.shape)

    def _check_form(self) -> None:
        """Raise TypeError where what comes out has not the form of what a layer gives."""
        with self.on() as trial:
            x = trial.x()
            trial.layer.check(x)
            y, _ = output(trial.layer, x, trial.context(training=True))
        if not self.host.owns(y) or y.dtype not in self.host.floats:
            raise TypeError(f"y must be an array of floating-point numbers, got {kind(y)}")


class Trial:
    """A fresh copy of the layer on a backend. Its passes are numbered: each has its x and dy."""

    def __init__(self, subject: Subject, backend: Backend) -> None:
        self.layer = deepcopy(subject.layer).to(backend, dtype=backend.dtype)
        self.backend = backend
        self._subject = subject

    def array(self, host: Any) -> Array:
        """Return the host's numbers as a new array here."""
        return self.backend.xp.asarray(self.backend.asarray(host), copy=True)

    def x(self, number: int = 0) -> Array:
        """Return a pass's input."""
        return self.array(self._subject.inputs[number])

    def dy(self, y: Array, number: int = 0) -> Array:
        """Return dL/dy for the output of a pass: far from uniform, which would hide faults."""
        return self.array(self._subject.key.child("dy", number).normal(tuple(y.shape)))

    def context(self, training: bool, rng: str = "rng", **options: Any) -> Context:
        """Return a pass's context; the same `rng` gives the same random numbers."""
        return Context(training, rng=self._subject.key.child(rng), **options)

    def forward(self, ctx: Context, number: int = 0) -> tuple[Array, Pullback]:
        """Return y and the pullback; raises TypeError where y is another library's."""
        y, pullback = self.layer.vjp(self.x(number), ctx)
        if not self.backend.owns(y):
            raise TypeError(
                f"from an array of {self.backend.package}, vjp made {kind(y)}; "
                "compute with xp = self.accept(x).xp"
            )
        return y, pullback

    def backward(self, y: Array, pullback: Pullback, number: int = 0) -> Results:
        """Return what a pullback gives, by name; an input of integers has no gradient."""
        dx, grads = pulled(pullback, self.dy(y, number), self.layer)
        named = {f"gradient of {n}": gradient for n, gradient in grads.items()}
        return named if dx is None or self._subject.of_integers else {"dx": dx, **named}

    def run(self, training: bool, **options: Any) -> Results:
        """Return all that a pass computes, by name."""
        ctx = self.context(training, **options)
        y, pullback = self.forward(ctx)
        return {"y": y, **self.backward(y, pullback), **self._updates(ctx)}

    def _updates(self, ctx: Context) -> Results:
        names = {part: n for n, part in self.layer.named_layers()}
        updates = {}
        for (owner, n), new in ctx.updates.items():
            if owner not in names or n not in owner.own_buffers:
                raise ValueError(f"ctx.updates holds {n!r}, which is no buffer of the layer")
            updates[f"new {join(names[owner], n)}"] = new
        return updates

    def to_host(self, results: Results) -> Results:
        """Return copies of a pass's arrays on the host, all in float64."""
        host = self._subject.host
        return {
            n: host.xp.asarray(host.asarray(array, "float64"), copy=True)
            for n, array in results.items()
        }
