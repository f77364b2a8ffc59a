"""What schedules and transforms of gradients have in common: a state that a checkpoint holds."""

from collections.abc import Mapping
from typing import Any

from portanet.checks import CheckedOptions


class Stateful(metaclass=CheckedOptions):
    """Something with a state of plain numbers; by default it has none.

    A class that keeps some overrides both methods.
    """

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain numbers by name: none, where it is a pure function."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`; raise ValueError where it is another class's."""
        if state.keys() != self.state_dict().keys():
            raise ValueError(
                f"{type(self).__name__}: expected a state of {sorted(self.state_dict())}, "
                f"got {sorted(state)}"
            )
