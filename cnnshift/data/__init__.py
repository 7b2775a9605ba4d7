"""Labelled images for measuring and training.

Random choices use `RandomState`, because NumPy guarantees that its stream never changes (NEP 19).
"""
