"""Known answers on the user's device, dtype and precision."""
