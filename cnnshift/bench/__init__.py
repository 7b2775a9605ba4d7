"""A benchmark from settings to a result: plan everything, then run it cell by cell."""
