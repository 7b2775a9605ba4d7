"""Labelled images for measuring and training."""
