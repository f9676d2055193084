"""Every stage of the workflow timed beside its peers: `python -m benchmarks` writes docs/benchmarks.md."""
