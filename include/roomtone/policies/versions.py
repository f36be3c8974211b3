"""Published policies: the append-only versions in the operational store, and when each one applies.

The first version of a rule applies to all history, a later one from its publication on; a cause keeps the version under
which it started. So a version is never changed and never deleted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import sqlalchemy as sa

from roomtone.errors import RoomtoneError
from roomtone.policies.guardrails import GUARDS
from roomtone.policies.rules import Rule
from roomtone.policies.schema import FAMILIES, Policies, assembled, parse_rule
from roomtone.stores.operational import OperationalStore, policy_versions


@dataclass(frozen=True)
class StoredVersion:
    """One row of policy_versions: a rule's version with the JSON text that it was published as."""

    family: str
    policy_id: str
    version: int
    body: str
    fingerprint: str
    published_at: datetime
    retired_at: datetime | None = None


@dataclass(frozen=True)
class AppliedVersion:
    """A published rule with its time, half-open: `applies_from` None is all history, `applies_to` None is in force."""

    family: str
    rule: Rule
    published_at: datetime
    applies_from: datetime | None
    applies_to: datetime | None


def stored_versions(connection: sa.Connection) -> list[StoredVersion]:
    """Every version ever published, by rule and version."""
    columns = policy_versions.c
    rows = connection.execute(sa.select(policy_versions).order_by(columns.policy_id, columns.version))
    return [
        StoredVersion(
            row.family, row.policy_id, row.version, row.body, row.fingerprint, row.published_at, row.retired_at
        )
        for row in rows
    ]


def applied_versions(stored: Sequence[StoredVersion], as_of: datetime) -> list[AppliedVersion]:
    """The versions with their times as known at `as_of`: what is published or retired later does not exist yet.

    A disabled version ends the one before it and is not among the result. `stored` is ordered by rule and version.
    """
    applied = []
    for _, group in groupby(stored, key=lambda version: version.policy_id):
        first, *later = group
        known = [first, *(version for version in later if version.published_at <= as_of)]
        for version, following in zip(known, [*known[1:], None], strict=True):
            ends = [version.retired_at, following.published_at if following else None]
            applies_to = min((end for end in ends if end is not None and end <= as_of), default=None)
            applies_from = None if version is first else version.published_at
            rule = parse_rule(version.family, version.body)
            if rule.is_enabled and (applies_from is None or applies_to is None or applies_from < applies_to):
                applied.append(AppliedVersion(version.family, rule, version.published_at, applies_from, applies_to))
    return applied


def policies_in_force(store: OperationalStore, as_of: datetime) -> Policies:
    """The published policies that apply at `as_of`, disabled rules left out.

    Raises RoomtoneError while nothing was published.
    """
    with store.begin() as connection:
        applied = applied_versions(stored_versions(connection), as_of)
    rules: dict[str, list[Rule]] = {family: [] for family in FAMILIES}
    for version in applied:
        if version.applies_to is None:
            rules[version.family].append(version.rule)
    if len(rules["routing"]) != 1 or len(rules["guardrails"]) != len(GUARDS):
        raise RoomtoneError("policy_versions", "holds no complete set of policies", "run `roomtone policies publish`")
    return assembled(rules)
