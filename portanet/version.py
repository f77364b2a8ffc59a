"""The version of portanet."""

__version__ = "0.1.0"
