"""Files that other programs load: CSV and Parquet under `sent/`, beside the JSON Lines of the `files` destination."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.sync.desired import KINDS, DesiredRow
from roomtone.sync.destinations.base import Answer, Destination, Idempotency, Nulls, Outcome, Removal
from roomtone.sync.destinations.file_formats import FORMATS, FileFormat, Row, row_of
from roomtone.sync.plan import Intent
from roomtone.sync.whole_files import write_whole


class RowFiles(Destination):
    """One file per kind and sync run, always written whole. An intent is bound to its file when it is made, so that it
    is never in two."""

    kinds: ClassVar[tuple[str, ...]] = KINDS
    batch_sizes: ClassVar[Mapping[str, int]] = dict.fromkeys(KINDS, 1_000_000)
    batch_bytes: ClassVar[int] = 10**9
    shares_records: ClassVar[bool] = True
    idempotency: ClassVar[Mapping[str, Idempotency]] = dict.fromkeys(KINDS, Idempotency.DEDUPLICATED)
    nulls: ClassVar[Nulls] = Nulls.STORED
    removal: ClassVar[Removal] = Removal.BY_VALUE
    form: FileFormat
    check: Callable[[], None] | None = None

    def fence(self, check: Callable[[], None], epoch: int = 0) -> None:  # noqa: ARG002 - nobody there reads it
        """Has `check` called right before a file is put into place; it raises where this sync may not send."""
        self.check = check

    def __init__(self, sync_run_id: int) -> None:
        self._file_name = f"sync-{sync_run_id:08d}"

    @abstractmethod
    def read(self, path: str) -> bytes | None:
        """The content of `kind/name`, None where there is no such file."""

    @abstractmethod
    def write(self, path: str, content: bytes) -> None:
        """Puts `kind/name` into place as a whole; raises RoomtoneError where it cannot be."""

    def vendor_ids(self, rows: Sequence[DesiredRow], now: datetime) -> dict[str, str]:  # noqa: ARG002 - the interface is wider than this destination
        return {row.subject_id: self._file_name for row in rows}

    def send(self, kind: str, batch: Sequence[Intent], now: datetime) -> list[Outcome]:
        for file_name in sorted({intent.vendor_id for intent in batch}):
            held = self._rows(kind, file_name)
            new = [i for i in batch if i.vendor_id == file_name and i.intent_id not in held]
            if new:
                rows = held | {intent.intent_id: row_of(intent, now) for intent in new}
                content = self.form.write(kind, rows.values())
                if self.check is not None:
                    self.check()
                self.write(self._path(kind, file_name), content)
        return [Outcome(intent.intent_id, Answer.ACCEPTED) for intent in batch]

    def look_up(self, kind: str, intents: Sequence[Intent]) -> set[str]:
        written: set[str] = set()
        for file_name in {intent.vendor_id for intent in intents}:
            written |= self._rows(kind, file_name).keys()
        return {intent.intent_id for intent in intents if intent.intent_id in written}

    def _path(self, kind: str, file_name: str) -> str:
        return f"{kind}/{file_name}.{self.form.ending}"

    def _rows(self, kind: str, file_name: str) -> dict[str, Row]:
        content = self.read(self._path(kind, file_name))
        return {} if content is None else self.form.read(kind, content)


class _LocalFiles(RowFiles):
    """`sent/<kind>/<sync run>.<ending>` under ROOMTONE_HOME."""

    reaches_people: ClassVar[bool] = False

    def __init__(self, settings: Settings, sync_run_id: int) -> None:
        super().__init__(sync_run_id)
        self._folder = settings.sent_dir

    def read(self, path: str) -> bytes | None:
        whole = self._folder / path
        return whole.read_bytes() if whole.exists() else None

    def write(self, path: str, content: bytes) -> None:
        try:
            write_whole(self._folder / path, content)
        except OSError as error:
            raise RoomtoneError(
                f"{self.name} destination",
                f"{self._folder / path} cannot be written ({error.strerror})",
                "free the disk or choose a ROOMTONE_HOME you may write to",
            ) from error


class Csv(_LocalFiles):
    name: ClassVar[str] = "csv"
    form = FORMATS["csv"]


class Parquet(_LocalFiles):
    name: ClassVar[str] = "parquet"
    form = FORMATS["parquet"]
