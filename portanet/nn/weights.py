"""What is done with all arrays of a tree of layers at once: drawn, moved, saved."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from portanet.backend import Array, Backend, backend_of, dtype_name
from portanet.checks import flag, instance
from portanet.conversion import float_dtype
from portanet.nn.arrays import Arrays, assign
from portanet.nn.declared import join
from portanet.nn.initialization import Initialization, initialization
from portanet.nn.tree import ParameterTree
from portanet.random import Key, fresh_seed
from portanet.selection import get_backend, make_backend


class Unmatched(NamedTuple):
    """The names that a state lacks, and those that it has and the model has not."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Weights(ParameterTree):
    """A tree of layers whose arrays can be drawn, moved, saved and loaded."""

    @property
    def backend(self) -> Backend:
        """Where the parameters live, with their dtype; the selected backend where there are none.

        Raises BackendMismatchError where they live apart.
        """
        params, selected = list(self.params.values()), get_backend()
        if not params:
            return selected
        here = backend_of(*params)
        # The selected one knows the options that it was selected with.
        same = (here.name, here.device) == (selected.name, selected.device)
        return (selected if same else here).retyped(dtype_name(params[0]))

    def initialize(
        self,
        seed: int | None = 0,
        *,
        weight: Initialization | float | None = None,
        bias: Initialization | float | None = None,
    ) -> Self:
        """Draw all parameters anew, on the selected backend, and reset the buffers.

        Each parameter is keyed by the seed and its dotted name, so the same network starts the same
        everywhere; ``seed=None`` takes fresh entropy. `weight` and `bias` replace the layers' own
        initializations of weighted sums (linear, convolution); a normalization's scale and shift,
        PReLU's slopes and an embedding's vectors keep theirs; a number stands for `Constant`.
        Returns the layer.

        An optimizer made before is of no use after: make a new one.
        """
        key = Key(fresh_seed() if seed is None else seed).child("init")
        weight = None if weight is None else initialization("weight", weight)
        bias = None if bias is None else initialization("bias", bias)
        for n, layer in self.named_layers():
            layer._draw(key, join(self._name, n), weight, bias)
        return self

    def to(
        self, backend: str | Backend | None = None, *, device: Any = None, dtype: str | None = None
    ) -> Self:
        """Move all arrays to a backend and floating dtype, in place; returns the layer.

        Without `backend` only the dtype changes. Make the optimizer after moving: its state stays
        where it is.
        """
        dtype = None if dtype is None else float_dtype(dtype)
        if backend is not None and not isinstance(backend, (str, Backend)):
            raise TypeError(f"backend must be a name or a Backend, got {backend!r}")
        there = backend
        if device is not None and not isinstance(there, str):
            there = (there or backend_of(*self.params.values())).name
        if isinstance(there, str):
            there = make_backend(there, device=device)
        for _, layer in self.named_layers():
            for arrays in (layer.own_params, layer.own_buffers):
                for n, array in arrays.items():
                    here = backend_of(array)
                    floating = dtype is not None and array.dtype in here.floats
                    target = there or here
                    new = target.asarray(array, dtype if floating else dtype_name(array))
                    if new is not array:  # it may be a read-only view of another library's memory
                        new = target.xp.asarray(new, copy=True)
                    arrays.replace({n: new})
        return self

    def state_dict(self) -> dict[str, Array]:
        """Return copies of all parameters and buffers under PyTorch's names for them.

        A shared array stands there under each of its names.
        """
        return {n: _copy(arrays[key]) for n, (arrays, key) in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Unmatched:
        """Copy parameters and buffers into place, from arrays of any library.

        Raises ValueError that lists the missing, the unexpected and the misshapen names; nothing
        is written then. Of different values for a shared array, the last name's stay.

        With ``strict=False`` only misshapen names are an error: what is missing stays as it is,
        what is unexpected is passed over, and both are returned. So a new head is put on layers
        that were trained with another.
        """
        slots, state = self._state(), instance("state", state, Mapping)
        missing = [n for n in slots if n not in state]
        unexpected = [n for n in state if n not in slots]
        wrong = []
        if flag("strict", strict):
            wrong += [f"missing {n!r}" for n in missing] + [f"unexpected {n!r}" for n in unexpected]
        new = []
        for n in (n for n in slots if n in state):
            arrays, key = slots[n]
            try:
                new.append((arrays[key], arrays.fitting(key, state[n])))
            except (TypeError, ValueError) as error:
                wrong.append(f"{n!r}: {error}")
        if wrong:
            self.fail("the state does not fit: " + "; ".join(wrong))
        assign(new)
        return Unmatched(missing, unexpected)

    def _state(self) -> dict[str, tuple[Arrays, str]]:
        return {
            join(n, key): (arrays, key)
            for n, layer in self.named_layers(shared=True)
            for arrays in (layer.own_params, layer.own_buffers)
            for key in arrays
        }


def _copy(array: Array) -> Array:
    return backend_of(array).xp.asarray(array, copy=True)
