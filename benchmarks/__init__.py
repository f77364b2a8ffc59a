"""The published workloads, portanet beside its peers: ``python -m benchmarks``."""
