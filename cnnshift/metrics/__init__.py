"""Metrics: functions from the observations of a sweep to per-image values, with intervals over images."""
