"""The engine: a model over images × shifts, compiled once, reduced to observations on the device."""
