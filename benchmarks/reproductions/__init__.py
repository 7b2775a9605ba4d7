"""Reproductions of published tables: `python -m benchmarks.reproductions NAME`."""
