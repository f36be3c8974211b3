"""What a destination declares of itself beyond its batch sizes; one conformance test holds every one of them to it."""

from enum import StrEnum


class Idempotency(StrEnum):
    """What a second call with the same content does."""

    STATE = "state"  # it sets what is set already
    DEDUPLICATED = "deduplicated"  # the destination knows the id of the first and drops it
    NONE = "none"  # it is a second effect


class Nulls(StrEnum):
    """What a null in a payload does to the value that the destination holds."""

    CLEAR = "clear"
    KEEP = "keep"
    STORED = "stored"  # it is written down like any other value


class Removal(StrEnum):
    """How a subject stops being in a state."""

    BY_VALUE = "by_value"  # its properties say so; the record stays
    WHOLE_FILE = "whole_file"  # it is missing from the next complete file
    NEVER = "never"
