"""Confidence intervals and p-values of metrics, with images and training runs as sampling units."""
