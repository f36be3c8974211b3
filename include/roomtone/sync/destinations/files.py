"""The `files` destination: writes down what would be sent, one file per kind and sync run that has any."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.sync.desired import KINDS, PROFILE_PROPERTIES, DesiredRow, rfc3339
from roomtone.sync.destinations.base import Answer, Destination, Nulls, Outcome
from roomtone.sync.plan import Intent
from roomtone.sync.whole_files import write_whole


class Files(Destination):
    """`sent/<kind>/<sync run>.jsonl`. An intent is bound to its file when it is made, so that it is never in two."""

    name: ClassVar[str] = "files"
    kinds: ClassVar[tuple[str, ...]] = KINDS
    batch_sizes: ClassVar[Mapping[str, int]] = dict.fromkeys(KINDS, 1_000_000)
    batch_bytes: ClassVar[int] = 10**9
    nulls: ClassVar[Nulls] = Nulls.STORED
    reaches_people: ClassVar[bool] = False
    shares_records: ClassVar[bool] = True

    def __init__(self, settings: Settings, sync_run_id: int) -> None:
        self._folder = settings.sent_dir
        self._file_name = f"sync-{sync_run_id:08d}"

    def vendor_ids(self, rows: Sequence[DesiredRow], now: datetime) -> dict[str, str]:  # noqa: ARG002 - the interface is wider than this destination
        return {row.subject_id: self._file_name for row in rows}

    def send(self, kind: str, batch: Sequence[Intent], now: datetime) -> list[Outcome]:
        for file_name in sorted({intent.vendor_id for intent in batch}):
            path = self._path(kind, file_name)
            lines = self._lines(path)
            lines |= {
                i.intent_id: _line(i, now) for i in batch if i.vendor_id == file_name and i.intent_id not in lines
            }
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines.values())
            try:
                write_whole(path, text.encode())
            except OSError as error:
                raise RoomtoneError(
                    "files destination",
                    f"{path} cannot be written ({error.strerror})",
                    "free the disk or choose a ROOMTONE_HOME you may write to",
                ) from error
        return [Outcome(intent.intent_id, Answer.ACCEPTED) for intent in batch]

    def look_up(self, kind: str, intents: Sequence[Intent]) -> set[str]:
        written: set[str] = set()
        for file_name in {intent.vendor_id for intent in intents}:
            written |= self._lines(self._path(kind, file_name)).keys()
        return {intent.intent_id for intent in intents if intent.intent_id in written}

    def _path(self, kind: str, file_name: str) -> Path:
        return self._folder / kind / f"{file_name}.jsonl"

    def _lines(self, path: Path) -> dict[str, dict[str, Any]]:
        if not path.exists():
            return {}
        lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line)
        return {line["intent_id"]: line for line in lines}


def _line(intent: Intent, now: datetime) -> dict[str, Any]:
    payload = dict(intent.payload)
    if intent.kind == PROFILE_PROPERTIES:
        payload["roomtone_synced_at"] = rfc3339(now)
    return {
        "intent_id": intent.intent_id,
        "kind": intent.kind,
        "subject_id": intent.subject_id,
        "as_of": rfc3339(intent.as_of),
        "payload": payload,
    }
