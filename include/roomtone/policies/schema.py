"""The policy files: read, checked and refused as a whole, with file, line, rule, key and next step of what is wrong."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from roomtone.errors import RoomtoneError
from roomtone.policies import recovery, routing, suppression
from roomtone.policies.files import PolicyFile, errors_of
from roomtone.policies.guardrails import GUARDS, Guardrail, Guardrails
from roomtone.policies.recovery import RecoveryRule
from roomtone.policies.routing import RoutingRule
from roomtone.policies.rules import Rule, missing_whys
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
_CONTRADICTIONS: dict[str, Callable[[Any], Iterator[tuple[Rule, str, str]]]] = {
    "suppression": suppression.contradictions,
    "recovery": recovery.contradictions,
    "routing": routing.contradictions,
}


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

    Raises RoomtoneError for the first thing that is wrong, with how many more there are: a file that is missing or no
    YAML, a misspelt key, a value out of bounds, an id that occurs twice, rules that contradict each other.
    """
    policies, problems = checked_policies(folder)
    if policies is None:
        first = problems[0]
        if len(problems) > 1:
            raise RoomtoneError(first.thing, first.value, f"{first.next_step} ({len(problems) - 1} more after it)")
        raise first
    return policies


def checked_policies(folder: Path) -> tuple[Policies | None, list[RoomtoneError]]:
    """(the rules of `folder`, nothing), or (None, everything that is wrong with them, file by file).

    What is wrong with a single rule hides what is wrong between rules, for as long as it cannot be read.
    """
    files: dict[str, PolicyFile] = {}
    rules: dict[str, list[Any]] = {}
    problems: list[RoomtoneError] = []
    for family in FAMILIES:
        try:
            files[family] = PolicyFile.read(folder / f"{family}.yml")
        except RoomtoneError as error:
            problems.append(error)
            continue
        if not isinstance(files[family].content, list):
            problems.append(
                files[family].error((), "is not a list of rules", "begin each rule with '- id: name_of_the_rule'")
            )
            continue
        try:
            rules[family] = _ADAPTERS[family].validate_python(files[family].content)
        except ValidationError as error:
            problems += errors_of(files[family], error)
    problems += _shared_ids(files, rules)
    for family, contradictions in _CONTRADICTIONS.items():
        for rule, value, next_step in contradictions(rules.get(family, [])):
            position = next(place for place, each in enumerate(rules[family]) if each is rule)
            problems.append(files[family].error((position,), value, next_step))
    problems += _missing(files, rules)
    problems += _offers_over_the_guardrail(files, rules)
    return (None, problems) if problems else (assembled(rules), [])


def warnings(policies: Policies) -> list[str]:
    """What may stand and is probably not meant, one line each: numbers without a reason, rules that can do nothing."""
    found = [f"{gap}: has no reason; write one under whys" for gap in _missing_whys(policies)]
    reached = {rule.tier for rule in policies.suppression if rule.is_enabled}
    highest = max(reached, default=0)
    found += [
        f"{rule.id}: trigger.min_tier {rule.trigger.min_tier} is never reached, no rule leads to more than {highest};"
        " lower it, or add a rule"
        for rule in policies.recovery
        if rule.is_enabled and rule.trigger.min_tier > highest
    ]
    found += [
        f"{rule.id}: offer_value is missing; set it, so that `roomtone simulate` can say what the offers cost"
        for rule in policies.recovery
        if rule.is_enabled and rule.offer is not None and rule.offer_value is None
    ]
    return found + [f"{rule.id}: {line}" for rule, line in suppression.idle(policies.suppression)]


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


def _missing_whys(policies: Policies) -> list[str]:
    return [gap for rules in policies.families.values() for gap in missing_whys(rules)]


def _shared_ids(files: Mapping[str, PolicyFile], rules: Mapping[str, list[Any]]) -> Iterator[RoomtoneError]:
    seen: dict[str, str] = {}
    for family, of_family in rules.items():
        for position, rule in enumerate(of_family):
            if rule.id in seen:
                yield files[family].error(
                    (position, "id"),
                    f"{rule.id} is already the id of a rule in {seen[rule.id]}.yml",
                    "give each rule an id of its own",
                )
            seen.setdefault(rule.id, family)


def _missing(files: Mapping[str, PolicyFile], rules: Mapping[str, list[Any]]) -> Iterator[RoomtoneError]:
    if "routing" in rules and not rules["routing"]:
        yield files["routing"].error((), "holds no rule", "keep one: every ticket needs a queue")
    if "guardrails" not in rules:
        return
    guards = [rule.guard for rule in rules["guardrails"]]
    for guard in GUARDS:
        if guard not in guards:
            yield files["guardrails"].error((), f"has no guard {guard}", "put it back: each guard stands there once")
        if guards.count(guard) > 1:
            last = len(guards) - 1 - guards[::-1].index(guard)
            yield files["guardrails"].error((last, "guard"), f"{guard} stands there twice", "keep one of the two")


def _offers_over_the_guardrail(
    files: Mapping[str, PolicyFile], rules: Mapping[str, list[Any]]
) -> Iterator[RoomtoneError]:
    offers = next((rule for rule in rules.get("guardrails", []) if rule.guard == "offers"), None)
    for position, rule in enumerate(rules.get("recovery", [])):
        if offers and rule.message_class == "marketing" and rule.budget.per_day > offers.max_per_day:
            yield files["recovery"].error(
                (position, "budget", "per_day"),
                f"{rule.budget.per_day} is more than guardrail {offers.id} lets through ({offers.max_per_day})",
                "lower it, or raise the guardrail",
            )
