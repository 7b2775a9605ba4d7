"""Loaders of pretrained models."""
