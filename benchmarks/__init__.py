"""The load, the baseline it is compared with, and the report: `python -m benchmarks`."""
