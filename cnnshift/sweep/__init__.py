"""Sweeps: a model evaluated over images and shifts by compiled programs, reduced to observations on the device."""
