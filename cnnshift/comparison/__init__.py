"""Comparison of results: matching runs, differences of metrics, gates, verdicts."""
