"""Confidence intervals of metrics, with the image as the unit of sampling."""
