"""The one kind of failure that roomtone explains."""


class RoomtoneError(Exception):
    """A failure told in one line: the thing, the value it had, and the next step.

    >>> str(RoomtoneError("ROOMTONE_FILES_DIR", "/no/such/folder is not a folder", "create it or set another"))
    'ROOMTONE_FILES_DIR: /no/such/folder is not a folder; create it or set another'
    """

    def __init__(self, thing: str, value: object, next_step: str) -> None:
        self.thing = thing
        self.value = str(value)
        self.next_step = next_step
        super().__init__(" ".join(f"{thing}: {value}; {next_step}".split()))
