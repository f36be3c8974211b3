"""Publishes the policy files: new versions are appended to the operational store, nothing published is ever changed."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from roomtone.errors import RoomtoneError
from roomtone.policies.rules import Rule
from roomtone.policies.schema import Policies, load_policies
from roomtone.policies.versions import StoredVersion, stored_versions
from roomtone.settings import Settings
from roomtone.stores.operational import OperationalStore, policy_versions


@dataclass(frozen=True)
class PublishReport:
    """What one publication changed, each entry as `id version n`."""

    published: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    count_unchanged: int = 0

    def as_text(self) -> str:
        """One line: what is new, what is retired, how many stay as they are."""
        parts = [
            f"{name} {', '.join(rules)}"
            for name, rules in (("published", self.published), ("retired", self.retired))
            if rules
        ]
        parts.append(f"{self.count_unchanged} rules unchanged")
        return "; ".join(parts)


@dataclass(frozen=True)
class Publication:
    """The rows that a publication appends, and the published versions that it retires."""

    appended: list[StoredVersion] = field(default_factory=list)
    retired: list[StoredVersion] = field(default_factory=list)
    count_unchanged: int = 0


def publish(settings: Settings, store: OperationalStore, as_of: datetime) -> PublishReport:
    """Bring the operational store to the files of `settings.policies_dir`, as published at `as_of`, all or nothing.

    Raises RoomtoneError for a file that is wrong (see `load_policies`), a rule that was edited under its old version, a
    version below the published one, and an `as_of` before the last publication of a rule that would change.
    """
    policies = load_policies(settings.policies_dir)
    try:
        with store.begin() as connection:
            publication = plan(policies, stored_versions(connection), as_of)
            _write(connection, publication, as_of)
    except sa.exc.IntegrityError as error:
        raise RoomtoneError("policies", "were published by another run at this moment", "run it again") from error
    return PublishReport(
        tuple(f"{version.policy_id} version {version.version}" for version in publication.appended),
        tuple(f"{version.policy_id} version {version.version}" for version in publication.retired),
        publication.count_unchanged,
    )


def plan(policies: Policies, stored: Sequence[StoredVersion], as_of: datetime) -> Publication:
    """What publishing `policies` over `stored` (by rule and version) changes; raises what `publish` does."""
    latest = {version.policy_id: version for version in stored}
    publication, count_unchanged, in_files = Publication(), 0, set()
    for family, rules in policies.families.items():
        for rule in rules:
            in_files.add(rule.id)
            offered = as_stored(family, rule, as_of)
            published = latest.get(rule.id)
            if published is None or _is_newer(offered, published):
                publication.appended.append(offered)
            else:
                count_unchanged += 1
    for published in latest.values():
        if published.policy_id not in in_files and published.retired_at is None:
            _refuse_earlier(published, as_of)
            publication.retired.append(published)
    return Publication(publication.appended, publication.retired, count_unchanged)


def fingerprint(rule: Rule) -> str:
    """SHA-256 of what a rule says, without keys at their default, so that a new optional key changes no fingerprint."""
    return hashlib.sha256(_canonical(rule.model_dump(mode="json", exclude_defaults=True)).encode()).hexdigest()


def as_stored(family: str, rule: Rule, as_of: datetime) -> StoredVersion:
    """The row that publishing `rule` at `as_of` appends."""
    return StoredVersion(
        family, rule.id, rule.version, _canonical(rule.model_dump(mode="json")), fingerprint(rule), as_of
    )


def _is_newer(offered: StoredVersion, published: StoredVersion) -> bool:
    """Whether a rule of the files is a new version of the published one; raises RoomtoneError where it may not be."""
    thing = f"{offered.family}.yml, rule {offered.policy_id}, version"
    if offered.family != published.family:
        raise RoomtoneError(thing, f"this id was published as a {published.family} rule", "give the rule another id")
    if offered.version < published.version:
        raise RoomtoneError(
            thing,
            f"{offered.version} is below the published version {published.version}",
            f"set version: {published.version + 1}",
        )
    if offered.version > published.version:
        _refuse_earlier(published, offered.published_at)
        return True
    if offered.fingerprint != published.fingerprint:
        raise RoomtoneError(
            thing,
            f"{offered.version} is published and the rule was edited since",
            f"set version: {offered.version + 1}, so that past decisions keep the rule they were made by",
        )
    if published.retired_at is not None:
        raise RoomtoneError(
            thing,
            f"{offered.version} was retired on {published.retired_at:%Y-%m-%d}",
            f"set version: {offered.version + 1} to bring the rule back",
        )
    return False


def _refuse_earlier(published: StoredVersion, as_of: datetime) -> None:
    last = published.retired_at or published.published_at
    if as_of < last:
        raise RoomtoneError(
            f"rule {published.policy_id}",
            f"would change as of {as_of.isoformat()}, before what was published at {last.isoformat()}",
            "publish with the present time; a policy is never changed backwards",
        )


def _write(connection: sa.Connection, publication: Publication, as_of: datetime) -> None:
    if publication.appended:
        rows = [
            {
                "family": version.family,
                "policy_id": version.policy_id,
                "version": version.version,
                "body": version.body,
                "fingerprint": version.fingerprint,
                "published_at": version.published_at,
            }
            for version in publication.appended
        ]
        connection.execute(policy_versions.insert(), rows)
    for version in publication.retired:
        connection.execute(
            policy_versions.update()
            .where(policy_versions.c.policy_id == version.policy_id, policy_versions.c.version == version.version)
            .values(retired_at=as_of)
        )


def _canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
