"""SolfaError, the base of all errors whose message is for people, and ArgumentError."""


class SolfaError(Exception):
    """What was foreseen: its message names the cause and the cure, and no traceback is needed."""


class ArgumentError(SolfaError, ValueError):
    """An argument that cannot be followed."""
