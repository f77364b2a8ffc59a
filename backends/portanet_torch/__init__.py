"""PyTorch tensors as a plain array library, on a CPU or a GPU: none of its autograd is used."""

from collections.abc import Callable, Sequence
from typing import Any

from portanet.backend import Backend, Memory


class TorchBackend(Backend):
    """Torch tensors on one torch device, such as ``"cpu"`` or ``"cuda:0"``."""

    name = "torch"
    package = "torch"
    install = "pip install torch"

    def __init__(self, device: Any = None, dtype: str = "float32") -> None:
        super().__init__(device, dtype)
        self.asynchronous = self.device.type != "cpu"

    @classmethod
    def load(cls) -> Any:
        """Return array-api-compat's view of torch, which supplies what torch names otherwise."""
        import array_api_compat.torch as xp

        return xp

    @classmethod
    def info(cls) -> dict[str, str]:
        """Return torch's version, devices and number of threads."""
        import torch

        gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        return {
            "version": torch.__version__,
            "devices": ", ".join(["cpu", *gpus]),
            "threads": str(torch.get_num_threads()),
        }

    def asarray(self, x: Any, dtype: str | None = None) -> Any:
        """Return `x` as a tensor that autograd does not follow; see `Backend.asarray`."""
        import torch

        return super().asarray(x.detach() if isinstance(x, torch.Tensor) else x, dtype)

    def from_numpy(self, host: Any) -> Any:
        """Return the values as a tensor; copies what torch cannot share or would warn about."""
        import torch

        if not host.flags.writeable or any(step < 0 for step in host.strides):
            host = host.copy("K")
        return torch.asarray(host, device=self.device)

    def to_numpy(self, x: Any) -> Any:
        """Return the values in main memory; bfloat16, which NumPy lacks, as float32."""
        import torch

        x = x.float() if x.dtype == torch.bfloat16 else x
        return x.numpy(force=True)

    def synchronize(self) -> None:
        """Wait for the GPU, where the tensors are on one."""
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def memory(self) -> Memory:
        """Return what tensors take on the GPU, and the most they took; on a CPU, the process."""
        import torch

        if self.device.type != "cuda":
            return super().memory()
        used = torch.cuda.memory_allocated(self.device)
        return Memory(used, torch.cuda.max_memory_allocated(self.device))

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Say whether a tensor found no room; of a CPU's torch says so in words alone."""
        import torch

        return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
            isinstance(error, RuntimeError) and "you tried to allocate" in str(error)
        )

    def fused_each(self, formula: Callable[..., None], calls: Sequence[tuple[Any, ...]]) -> None:
        """Run a formula with each of the arguments, so that what it changes joins no tape.

        A gradient that autograd follows would draw the parameters and their state into its graph,
        which would grow from step to step.
        """
        import torch

        with torch.no_grad():
            super().fused_each(formula, calls)

    def index_add(self, x: Any, indices: Any, values: Any) -> Any:
        """Add rows in place, summing where an index repeats; see `Backend.index_add`."""
        return x.index_add_(0, indices.long(), values)

    def erf(self, x: Any) -> Any:
        """Return the error function of each element, as torch computes it."""
        return x.erf()
