"""Labelled images to measure on, and to train on."""
