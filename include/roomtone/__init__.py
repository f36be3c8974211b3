"""roomtone reads the room before marketing speaks: extract -> score -> transform -> validate -> sync."""

__version__ = "0.1.0"
