"""The `files` source: a folder with one sub-folder per stream and any number of `*.jsonl` files, one record a line."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from roomtone.contract import STREAMS
from roomtone.errors import RoomtoneError
from roomtone.extract.received import EXCERPT_BYTES, Cursors, Record, Refused, refused
from roomtone.rate_window import RateWindow

MAX_LINE_BYTES = 16 * 1024 * 1024
_BLOCK_BYTES = 1024 * 1024
# A size and time that no file has, so that it is tried again, from its last good line on.
_AGAIN = {"size": -1, "mtime_ns": -1}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class FilesSource:
    """Reads what is new in a folder.

    Cursor per file: its size and time when read (an unchanged file is skipped), how many bytes of complete lines were
    read and their SHA-256 (a file that begins with the same bytes is continued, any other is read again; known records
    are duplicates).
    """

    def __init__(self, folder: Path | None) -> None:
        if folder is None:
            raise RoomtoneError("ROOMTONE_FILES_DIR", "is not set", "set it to a folder with one sub-folder per stream")
        self._folder = folder
        self._ignored: list[str] = []
        self.paces: Mapping[str, RateWindow] = {}

    @property
    def ignored(self) -> list[str]:
        return self._ignored

    def read(self, cursors: Cursors) -> Iterator[Record | Refused]:
        known: dict[str, dict[str, Any]] = cursors.get("files", {})
        reached: dict[str, dict[str, Any]] = {}
        for stream, file in self._files():
            name = _printable(str(file.relative_to(self._folder)))
            yield from _read_file(file, name, stream, known.get(name), reached)
        # Files that are gone are forgotten: what they held has landed, and would be known if they came back.
        if reached != known:
            cursors["files"] = reached

    def _files(self) -> Iterator[tuple[str, Path]]:
        for entry in _listed(self._folder):
            if entry.name not in STREAMS or not entry.is_dir():
                self._ignored.append(_printable(entry.name))
                continue
            for file in _files_below(entry):
                if file.suffix == ".jsonl":
                    yield entry.name, file
                else:
                    self._ignored.append(_printable(str(file.relative_to(self._folder))))


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        _refuse_folder(error)


def _files_below(folder: Path) -> list[Path]:
    """Files below a folder, and links to folders, which are not followed: they could lead in circles."""
    found: list[Path] = []
    for root, folders, names in os.walk(folder, onerror=_refuse_folder):
        found += [Path(root, name) for name in names]
        found += [Path(root, name) for name in folders if Path(root, name).is_symlink()]
    return sorted(found)


def _refuse_folder(error: OSError) -> NoReturn:
    raise RoomtoneError(
        "ROOMTONE_FILES_DIR",
        f"{error.filename} cannot be listed ({error.strerror})",
        "create it, or give roomtone the right to read it",
    ) from error


def _read_file(
    file: Path, name: str, stream: str, known: dict[str, Any] | None, reached: dict[str, dict[str, Any]]
) -> Iterator[Record | Refused]:
    """Records of one file after what is `known` of it; afterwards `reached[name]` says how far it was read."""
    lines: _Lines | None = None
    try:
        # A pipe would wait for a writer for ever, so ask before opening.
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            yield refused(stream, name, "is not a regular file", b"")
            return
        if known and (found.st_size, found.st_mtime_ns) == (known["size"], known["mtime_ns"]):
            reached[name] = known
            return
        with file.open("rb", buffering=_BLOCK_BYTES) as handle:
            found = os.fstat(handle.fileno())
            lines = _Lines(handle, name, stream, known)
            for item in lines:
                if item is not None:
                    yield item
        reached[name] = lines.cursor | {"size": found.st_size, "mtime_ns": found.st_mtime_ns}
    except OSError as error:
        begun = lines.cursor if lines is not None else known
        if begun:
            reached[name] = begun | _AGAIN
        yield refused(stream, name, f"the file cannot be read ({error.strerror or type(error).__name__})", b"")


class _Lines:
    """The lines of an open file as records, from where its cursor points."""

    def __init__(self, handle: BinaryIO, name: str, stream: str, known: dict[str, Any] | None) -> None:
        self._handle = handle
        self._name = name
        self._stream = stream
        self._offset = 0
        self._number = 0
        self._digest = hashlib.sha256()
        if known and self._begins_as(known["offset"], known["sha256"]):
            self._offset, self._number = known["offset"], known["line"]
        else:
            self._digest = hashlib.sha256()
            handle.seek(0)

    @property
    def cursor(self) -> dict[str, Any]:
        """How far complete lines were read: bytes, their number and their SHA-256."""
        return {"offset": self._offset, "line": self._number, "sha256": self._digest.hexdigest()}

    def __iter__(self) -> Iterator[Record | Refused | None]:
        while line := self._handle.readline(MAX_LINE_BYTES + 1):
            location = f"{self._name}:{self._number + 1}"
            if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                yield self._too_long(line, location)
                continue
            is_first = self._offset == 0
            if line.endswith(b"\n"):
                self._passed(line)
                self._number += 1
            yield _parsed(line.removeprefix(_BYTE_ORDER_MARK) if is_first else line, self._stream, location)

    def _begins_as(self, size: int, expected: str) -> bool:
        left = size
        while left > 0 and (block := self._handle.read(min(left, _BLOCK_BYTES))):
            self._digest.update(block)
            left -= len(block)
        return left == 0 and self._digest.hexdigest() == expected

    def _passed(self, content: bytes) -> None:
        self._digest.update(content)
        self._offset += len(content)

    def _too_long(self, beginning: bytes, location: str) -> Refused:
        """Read past a line that is too long to hold, in blocks."""
        content, size, block = hashlib.sha256(beginning), len(beginning), beginning
        passed, before = self._digest.copy(), self._offset
        self._passed(beginning)
        while not block.endswith(b"\n") and (block := self._handle.readline(_BLOCK_BYTES)):
            content.update(block)
            size += len(block)
            self._passed(block)
        if block.endswith(b"\n"):
            self._number += 1
        else:
            # The file ends within the line: if it grows, the line is read again as a whole.
            self._digest, self._offset = passed, before
        reason = f"the line is longer than {MAX_LINE_BYTES // 1024 // 1024} MiB"
        return Refused(self._stream, location, reason, beginning[:EXCERPT_BYTES], content.hexdigest(), size)


def _parsed(line: bytes, stream: str, location: str) -> Record | Refused | None:
    """One line as a record; None for an empty one. Reasons never repeat what the line says."""
    text = line.strip()
    if not text:
        return None
    try:
        return Record(stream, json.loads(text.decode("utf-8"), parse_constant=_refuse_constant), location)
    except UnicodeDecodeError as error:
        reason = f"the line is not UTF-8 at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        reason = f"the line is not JSON ({error.msg.rstrip(' :')} at character {error.pos + 1})"
    except RecursionError:
        reason = "the line is nested too deeply"
    except ValueError as error:
        reason = f"the line is not JSON ({str(error).partition(':')[0]})"
    return refused(stream, location, reason, text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _printable(name: str) -> str:
    """A file name as text that any log or table can hold."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
