"""A policy file as it lies on disk: YAML with the line of each place, and what pydantic finds wrong in plain words."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from roomtone.errors import RoomtoneError
from roomtone.policies.guardrails import GUARDS
from roomtone.policies.rules import nearest

_MAX_BYTES = 1_000_000


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, where plain YAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            keys = [key for key, _ in node.value]
            twice = next(key for at, key in enumerate(keys) if key.value in {before.value for before in keys[:at]})
            raise yaml.MarkedYAMLError(problem=f"key {twice.value} is given twice", problem_mark=twice.start_mark)
        return mapping


@dataclass(frozen=True)
class PolicyFile:
    """What a file holds, as Python and as YAML nodes with their lines."""

    path: Path
    content: Any
    tree: yaml.Node | None

    @classmethod
    def read(cls, path: Path) -> "PolicyFile":
        """The file at `path`; raises RoomtoneError for one that is missing, unreadable, too large or no YAML."""
        try:
            text = path.read_bytes()[: _MAX_BYTES + 1].decode()
        except FileNotFoundError:
            raise RoomtoneError(
                str(path),
                "does not exist",
                "put it there, or point ROOMTONE_POLICIES to a folder with all four policy files",
            ) from None
        except OSError as error:
            raise RoomtoneError(str(path), f"cannot be read ({error.strerror})", "make it readable") from error
        except UnicodeDecodeError as error:
            raise RoomtoneError(
                str(path), f"is not UTF-8 ({error.reason} at byte {error.start})", "save it as UTF-8"
            ) from None
        if len(text) > _MAX_BYTES:
            raise RoomtoneError(str(path), f"is larger than {_MAX_BYTES} bytes", "keep rules only")
        loader = _Loader(text)
        try:
            tree = loader.get_single_node()
            content = loader.construct_document(tree) if tree is not None else None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise RoomtoneError(
                f"{path.name}, line {line}",
                error.problem or "is no YAML",
                "mend it; two spaces indent, one '- id:' a rule",
            ) from None
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            raise RoomtoneError(path.name, f"is no YAML ({str(error).splitlines()[0]})", "mend it") from None
        finally:
            loader.dispose()
        return cls(path, content, tree)

    def error(self, location: Sequence[int | str], value: object, next_step: str) -> RoomtoneError:
        """An error at a place of this file: (position of the rule, key, key, ...)."""
        keys = [str(part + 1) if isinstance(part, int) else part for part in location[1:]]
        thing = f"{self.path.name}, line {self.line(location)}"
        if location:
            thing += f", rule {self._rule_id(location[0])}"
        return RoomtoneError(f"{thing}, {'.'.join(keys)}" if keys else thing, value, next_step)

    def _rule_id(self, position: int | str) -> str:
        rule = self.content[position] if isinstance(position, int) else None
        return str(rule.get("id", f"number {int(position) + 1}")) if isinstance(rule, dict) else f"number {position}"

    def line(self, location: Sequence[int | str]) -> int:
        """The line of a place, or of the nearest thing above it that the file has."""
        node, line = self.tree, 1
        for part in location:
            entry = _entry(node, part)
            if entry is None:
                break
            line, node = entry
        return line


def _entry(node: yaml.Node | None, part: int | str) -> tuple[int, yaml.Node] | None:
    """(line, node) of a list's item or a mapping's value."""
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item: yaml.Node = node.value[part]
        return item.start_mark.line + 1, item
    if isinstance(node, yaml.MappingNode):
        return next(((key.start_mark.line + 1, value) for key, value in node.value if key.value == part), None)
    return None


def errors_of(file: PolicyFile, error: ValidationError) -> Iterator[RoomtoneError]:
    """Everything that pydantic finds wrong, in the order of the file's lines."""
    placed = []
    for detail in error.errors(include_url=False):
        location = _without_tags(detail["loc"])
        context = detail.get("ctx", {})
        if context.get("key"):
            location += tuple(context["key"].split("."))
        if detail["type"].startswith("union_tag"):
            location += (context["discriminator"].strip("'"),)
        value, next_step = _told(detail, context)
        placed.append((file.line(location), file.error(location, value, next_step)))
    placed.sort(key=lambda entry: entry[0])
    yield from (told for _, told in placed)


def _without_tags(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """A location in the file: without the tags by which pydantic says which of several shapes it looked at."""
    if len(location) > 1 and location[1] in GUARDS:
        return location[:1] + location[2:]
    if len(location) > 2 and location[1] == "start":
        return location[:2] + location[3:]
    return location


_PLAIN_WORDS = {
    "missing": ("is missing", "add it"),
    "union_tag_not_found": ("is missing", "add it"),
    "too_short": ("is empty", "name at least one"),
}


def _told(detail: Any, context: dict[str, Any]) -> tuple[str, str]:
    """(value, next step) of one of pydantic's errors, in plain words."""
    kind, given = detail["type"], f"{detail['input']!r:.60}"
    if kind in _PLAIN_WORDS:
        return _PLAIN_WORDS[kind]
    if kind in ("unknown_key", "refused"):
        return context.get("value", "is not a key here"), context["advice"]
    if kind in ("model_type", "model_attributes_type"):
        return f"{given} is not what belongs here", "write it as the shipped rules do; docs/policies.md shows each"
    if kind in ("literal_error", "union_tag_invalid"):
        known = re.findall(r"'([^']*)'", context.get("expected") or context["expected_tags"])
        word = context.get("tag", detail["input"])
        return repr(word)[:60], nearest(str(word), known)
    if kind == "string_pattern_mismatch":
        is_name = context["pattern"].startswith("^[a-z]")
        return given, "use lower-case letters, digits and underscores" if is_name else "write one line of text"
    return given, detail["msg"].lower().removeprefix("input ").replace("should", "it should", 1)
