"""Published tables, measured again: a command each, `python -m benchmarks.reproductions NAME`."""
