"""The raw store: what has come in, as Parquet files that never change once their load is complete.

`extract` lands one dataset per source through dlt (`<raw>/<source>/<table>/<load_id>.<part>.parquet`); a load counts
when dlt has written its record in `_dlt_loads`, so a half-written one is never seen. Message scores lie beside them.
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from roomtone.contract import STREAMS, TIMESTAMP
from roomtone.errors import RoomtoneError
from roomtone.settings import Settings

SCORES = "message_scores"
RISKS = "customer_risks"
QUARANTINE = "quarantine"
COUNTS = "counts"
LOADS = "_dlt_loads"
STATES = "_dlt_pipeline_state"

# What could not become a record: where it was, why, and its beginning. `content_hash` is the SHA-256 of all of it.
QUARANTINE_SCHEMA = pa.schema(
    [
        ("quarantine_id", pa.string()),
        ("source", pa.string()),
        ("stream", pa.string()),
        ("location", pa.string()),
        ("reason", pa.string()),
        ("excerpt", pa.string()),
        ("content_hash", pa.string()),
        ("size_bytes", pa.int64()),
        ("received_at", TIMESTAMP),
    ]
)

# How many records a load's run read per stream and what became of them; it lands with them: both are there or neither.
COUNTS_SCHEMA = pa.schema(
    [
        ("stream", pa.string()),
        ("count_read", pa.int64()),
        ("count_landed", pa.int64()),
        ("count_duplicate", pa.int64()),
        ("count_quarantined", pa.int64()),
        ("as_of", TIMESTAMP),
    ]
)

_SCORE_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True)
class Load:
    """One completed load. `files` are its records by stream; `quarantine` and `counts` its other two tables."""

    source: str
    load_id: str
    files: Mapping[str, tuple[Path, ...]]
    quarantine: tuple[Path, ...] = field(default=())
    counts: tuple[Path, ...] = field(default=())


def completed_loads(
    settings: Settings, source: str | None = None, known: Set[tuple[str, str]] = frozenset()
) -> list[Load]:
    """Loads that dlt has committed, of one source or of all, in the order in which they were begun.

    Those in `known`, as (source, load id), are left out without opening any of their files.
    """
    try:
        found = [
            load
            for folder in _datasets(settings.raw_dir)
            if source is None or folder.name == source
            for load in _loads_of(folder, {load_id for name, load_id in known if name == folder.name})
        ]
    except OSError as error:
        raise RoomtoneError(
            "raw store",
            f"{error.filename or settings.raw_dir} cannot be read ({error.strerror})",
            "give roomtone the right to read it",
        ) from error
    return sorted(found, key=lambda load: (float(load.load_id), load.source))


def committed_load_ids(dataset: Path, known: Set[str] = frozenset()) -> set[str]:
    """Ids of the loads that the dataset's load records name, without those in `known`."""
    try:
        entries = sorted((dataset / LOADS).iterdir())
    except FileNotFoundError:
        return set()
    # A process killed while writing a record leaves it empty or cut: such a load is not complete.
    return {
        load_id for entry in entries if (load_id := entry.stem.rpartition("__")[2]) not in known and _is_whole(entry)
    }


def uncommitted_states(dataset: Path) -> list[Path]:
    """Cursor files of loads that were not committed: dlt writes the cursors a moment before the load's record."""
    committed = committed_load_ids(dataset)
    return [file for file in sorted((dataset / STATES).glob("*.jsonl")) if file.name.split("__")[1] not in committed]


def quarantined(settings: Settings, source: str | None = None, load_id: str | None = None) -> pa.Table:
    """The quarantine of one source or of all, as `QUARANTINE_SCHEMA`, each entry once, in order of landing; with
    `load_id` that of one load.
    """
    seen: set[str] = set()
    parts: list[pa.Table] = []
    for load in completed_loads(settings, source):
        if load_id not in {None, load.load_id}:
            continue
        for file in load.quarantine:
            table = read_table(file, QUARANTINE_SCHEMA)
            # One by one: a reread line may occur twice within a table as well.
            is_new = []
            for key in table["quarantine_id"].to_pylist():
                is_new.append(key not in seen)
                seen.add(key)
            parts.append(table.filter(pa.array(is_new, pa.bool_())))
    return pa.concat_tables(parts) if parts else QUARANTINE_SCHEMA.empty_table()


def read_table(file: Path, schema: pa.Schema) -> pa.Table:
    """Columns `schema` of one landed file; raises RoomtoneError when it is missing or damaged."""
    try:
        return pq.read_table(file, columns=schema.names, partitioning=None).select(schema.names).cast(schema)
    except (OSError, pa.ArrowException) as error:
        raise RoomtoneError(
            "raw store",
            f"{file} cannot be read ({type(error).__name__})",
            "restore it from a backup; landed files are not made again",
        ) from error


def write_scores(settings: Settings, name: str, table: pa.Table, kind: str = SCORES) -> Path:
    """Keep a table of scores as `<raw>/<kind>/<name>.parquet`; it is there whole or not at all."""
    if not _SCORE_NAME.fullmatch(name):
        raise RoomtoneError("name of a score file", repr(name), "use letters, digits, _ and -")
    folder = settings.raw_dir / kind
    file = folder / f"{name}.parquet"
    unfinished = folder / f".{name}.{os.getpid()}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            pq.write_table(table, unfinished)
            sync_to_disk(unfinished)
            unfinished.replace(file)
            sync_to_disk(folder)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise RoomtoneError(
            "raw store",
            f"{file} cannot be written ({error.strerror or error})",
            "free the disk or give roomtone the right to write",
        ) from error
    return file


def score_files(settings: Settings, kind: str = SCORES) -> list[Path]:
    """Every finished file of scores of a kind, by name."""
    return sorted((settings.raw_dir / kind).glob("*.parquet"))


def sync_to_disk(path: Path) -> None:
    """Return once a file's content, or a folder's entries, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _datasets(raw_dir: Path) -> list[Path]:
    if not raw_dir.is_dir():
        return []
    return sorted(folder for folder in raw_dir.iterdir() if (folder / LOADS).is_dir())


def _loads_of(dataset: Path, known: Set[str]) -> list[Load]:
    # The load records first: a load that completes while the files are listed is seen the next time.
    committed = committed_load_ids(dataset, known)
    if not committed:
        return []
    files: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for table in (*STREAMS, QUARANTINE, COUNTS):
        folder = dataset / table
        if not folder.is_dir():
            continue
        for entry in sorted(folder.iterdir()):
            load_id = ".".join(entry.name.split(".")[:2])
            if entry.suffix == ".parquet" and load_id in committed:
                files[load_id][table].append(entry)
    return [
        Load(
            source=dataset.name,
            load_id=load_id,
            files={stream: tuple(files[load_id][stream]) for stream in STREAMS if files[load_id][stream]},
            quarantine=tuple(files[load_id][QUARANTINE]),
            counts=tuple(files[load_id][COUNTS]),
        )
        for load_id in committed
    ]


def _is_whole(record: Path) -> bool:
    if record.suffix != ".jsonl":
        return False
    try:
        json.loads(record.read_bytes())
    except ValueError:
        return False
    return True
