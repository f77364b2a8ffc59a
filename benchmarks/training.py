"""A workload as portanet's Trainer runs it; imports portanet, so only its process imports this."""

from typing import Any, NamedTuple, Self

import portanet as pn
from benchmarks.contenders import sequential
from benchmarks.workloads import RATES, Workload
from portanet import data, nn, optim
from portanet.train.parallel import Team
from portanet.train.source import Batch
from portanet.train.step import gradients


class Training(NamedTuple):
    """What a Trainer holds during a run; `step` is what it does with a batch."""

    model: Any
    loss: Any
    optimizer: Any
    loader: Any
    key: pn.Key
    team: Team

    @classmethod
    def of(
        cls, workload: Workload, x: Any, y: Any, threads: int, backend: pn.Backend | None = None
    ) -> Self:
        """Build the network on a backend, by default NumPy with so many threads."""
        backend = backend or pn.set_backend("numpy", threads=threads)
        backend.prepare_training()
        model, lr = sequential(nn, workload), RATES[workload.optimizer]
        optimizer: Any = optim.Adam(model, lr=lr)
        if workload.optimizer != "adam":
            optimizer = optim.SGD(model, lr=lr, momentum=0.9 * (workload.optimizer == "momentum"))
        loader = data.DataLoader((backend.asarray(x), backend.asarray(y)), workload.batch)
        return cls(model, nn.CrossEntropyLoss(), optimizer, loader, pn.Key(0), Team(backend, model))

    def step(self, indices: Any) -> Any:
        """Gather a batch, update the network, return the loss."""
        batch = Batch(*self.loader.gather(indices), None)
        grads, numbers = gradients(self.model, self.loss, [batch], self.key, {}, self.team)
        self.optimizer.step(grads)
        return numbers["loss"]
