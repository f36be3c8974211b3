"""The policy files: read, checked and refused as a whole, with file, line, rule, key and next step of what is wrong."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from roomtone.errors import RoomtoneError
from roomtone.policies import recovery, routing, suppression
from roomtone.policies.guardrails import GUARDS, Guardrail, Guardrails
from roomtone.policies.recovery import RecoveryRule
from roomtone.policies.routing import RoutingRule
from roomtone.policies.rules import Rule, nearest
from roomtone.policies.suppression import SuppressionRule

FAMILIES = ("suppression", "recovery", "routing", "guardrails")
_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    "suppression": TypeAdapter(list[SuppressionRule]),
    "recovery": TypeAdapter(list[RecoveryRule]),
    "routing": TypeAdapter(list[RoutingRule]),
    "guardrails": TypeAdapter(list[Guardrail]),
}
_RULES: dict[str, TypeAdapter[Any]] = {
    "suppression": TypeAdapter(SuppressionRule),
    "recovery": TypeAdapter(RecoveryRule),
    "routing": TypeAdapter(RoutingRule),
    "guardrails": TypeAdapter(Guardrail),
}
_CONTRADICTIONS: dict[str, Callable[[Any], tuple[Rule, str, str] | None]] = {
    "suppression": suppression.contradiction,
    "recovery": recovery.contradiction,
    "routing": routing.contradiction,
}
_MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Policies:
    """The rules of the four families, in the order of their files."""

    suppression: tuple[SuppressionRule, ...]
    recovery: tuple[RecoveryRule, ...]
    routing: RoutingRule
    guardrails: Guardrails

    @property
    def families(self) -> dict[str, tuple[Rule, ...]]:
        """The rules by family."""
        return {
            "suppression": self.suppression,
            "recovery": self.recovery,
            "routing": (self.routing,),
            "guardrails": tuple(getattr(self.guardrails, guard) for guard in GUARDS),
        }

    @property
    def count(self) -> int:
        return sum(len(rules) for rules in self.families.values())


def load_policies(folder: Path) -> Policies:
    """The checked rules of `folder`'s four files.

    Raises RoomtoneError for the first thing that is wrong: a file that is missing or no YAML, a misspelt key, a value
    out of bounds, an id that occurs twice, rules that contradict each other.
    """
    files = {family: _PolicyFile.read(folder / f"{family}.yml") for family in FAMILIES}
    rules = {family: _checked(files[family], family) for family in FAMILIES}
    _refuse_shared_ids(files, rules)
    for family, contradiction in _CONTRADICTIONS.items():
        found = contradiction(rules[family])
        if found:
            rule, value, next_step = found
            raise files[family].error((rules[family].index(rule),), value, next_step)
    _refuse_missing(files, rules)
    offers = next(rule for rule in rules["guardrails"] if rule.guard == "offers")
    for position, rule in enumerate(rules["recovery"]):
        if rule.message_class == "marketing" and rule.budget.per_day > offers.max_per_day:
            raise files["recovery"].error(
                (position, "budget", "per_day"),
                f"{rule.budget.per_day} is more than guardrail {offers.id} lets through ({offers.max_per_day})",
                "lower it, or raise the guardrail",
            )
    return assembled(rules)


def assembled(rules: Mapping[str, Sequence[Any]]) -> Policies:
    """Policies of checked rules by family, one routing rule and one guardrail of each kind among them."""
    return Policies(
        tuple(rules["suppression"]), tuple(rules["recovery"]), rules["routing"][0], Guardrails.of(rules["guardrails"])
    )


def parse_rule(family: str, body: str) -> Rule:
    """A rule from the JSON text that it was published as; raises RoomtoneError when this roomtone cannot read it."""
    try:
        rule = _RULES[family].validate_python(json.loads(body))
    except (ValueError, KeyError) as error:
        shown = str(error).splitlines()[0]
        raise RoomtoneError(
            "policy_versions",
            f"a {family} rule cannot be read ({shown})",
            "it was published by another roomtone: upgrade this one",
        ) from error
    assert isinstance(rule, Rule)
    return rule


def json_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema by family, for editors that complete and check YAML."""
    return {
        family: {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"{family}.yml"}
        | adapter.json_schema()
        for family, adapter in _ADAPTERS.items()
    }


def _checked(file: "_PolicyFile", family: str) -> list[Any]:
    if not isinstance(file.content, list):
        raise file.error((), "is not a list of rules", "begin each rule with '- id: name_of_the_rule'")
    try:
        rules: list[Any] = _ADAPTERS[family].validate_python(file.content)
    except ValidationError as error:
        raise _first_error(file, error) from None
    return rules


def _refuse_shared_ids(files: "dict[str, _PolicyFile]", rules: dict[str, list[Any]]) -> None:
    seen: dict[str, str] = {}
    for family, of_family in rules.items():
        for position, rule in enumerate(of_family):
            if rule.id in seen:
                raise files[family].error(
                    (position, "id"),
                    f"{rule.id} is already the id of a rule in {seen[rule.id]}.yml",
                    "give each rule an id of its own",
                )
            seen[rule.id] = family


def _refuse_missing(files: "dict[str, _PolicyFile]", rules: dict[str, list[Any]]) -> None:
    if not rules["routing"]:
        raise files["routing"].error((), "holds no rule", "keep one: every ticket needs a queue")
    guards = [rule.guard for rule in rules["guardrails"]]
    for guard in GUARDS:
        if guard not in guards:
            raise files["guardrails"].error((), f"has no guard {guard}", "put it back: each guard stands there once")
        if guards.count(guard) > 1:
            last = len(guards) - 1 - guards[::-1].index(guard)
            raise files["guardrails"].error((last, "guard"), f"{guard} stands there twice", "keep one of the two")


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
class _PolicyFile:
    path: Path
    content: Any
    tree: yaml.Node | None

    @classmethod
    def read(cls, path: Path) -> "_PolicyFile":
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


def _first_error(file: _PolicyFile, error: ValidationError) -> RoomtoneError:
    """The error that stands first in the file; the others are counted."""
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
    first = placed[0][1]
    if len(placed) > 1:
        return RoomtoneError(first.thing, first.value, f"{first.next_step} ({len(placed) - 1} more after it)")
    return first


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
