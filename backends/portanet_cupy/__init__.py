"""CuPy on a CUDA GPU."""
from portanet.backend import Backend
class CupyBackend(Backend):
    """CuPy."""
    name = library = "cupy"
    install = "pip install cupy-cuda13x"
    @classmethod
    def load(cls):
        """Load."""
        import array_api_compat.cupy as xp
        return xp
