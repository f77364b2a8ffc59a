"""What layers share that slide a window over images."""

from portanet.backend import Array
from portanet.checks import Pair
from portanet.im2col import Window
from portanet.nn.layer import Layer


class WindowLayer(Layer):
    """A layer with a `window`, on images (N, C, H, W)."""

    window: Window

    def output_size(self, x: Array, channels: int | None = None) -> Pair:
        """Return the output's height and width, or raise ValueError where x does not fit."""
        if x.ndim != 4 or channels not in (None, x.shape[1]):
            expected = f"(N, {channels or 'C'}, H, W)"
            self.fail(f"expected x of shape {expected}, got {tuple(x.shape)}")
        try:
            return self.window.output_size(x.shape[2], x.shape[3])
        except ValueError as error:
            self.fail(str(error))

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        w = self.window
        words = {"kernel_size": w.kernel, "stride": w.stride}
        if any(map(any, w.padding)):
            same = all(before == after for before, after in w.padding)
            words["padding"] = (w.padding[0][0], w.padding[1][0]) if same else w.padding  # type: ignore[assignment]
        if w.dilation != (1, 1):
            words["dilation"] = w.dilation
        return ", ".join(f"{word}={value}" for word, value in words.items())
