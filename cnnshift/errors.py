"""The errors a user can meet; each class carries the exit code of the command that met it."""


class CnnshiftError(Exception):
    """Something went wrong that one sentence explains: what, its value, and what is allowed."""

    exit_code = 3


class InputError(CnnshiftError):
    """A usage mistake, a bad configuration or an unusable input file."""

    exit_code = 2


class MeasurementError(CnnshiftError):
    """The measurement could not be made (training diverged, memory ran out, damaged data)."""

    exit_code = 3


class NotFiniteError(MeasurementError):
    """A model gave logits that are not finite numbers."""


class SaveError(CnnshiftError):
    """A result could not be written."""

    exit_code = 3


class IncomparableError(CnnshiftError):
    """Two results, or a metric and its baseline, do not measure the same thing."""

    exit_code = 4
