"""Publishing: what is appended, what is refused, what applies when."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from roomtone.errors import RoomtoneError
from roomtone.policies import publish as publishing
from roomtone.policies.publish import publish
from roomtone.policies.schema import load_policies, parse_rule
from roomtone.policies.suppression import SuppressionRule
from roomtone.policies.versions import applied_versions, policies_in_force, stored_versions
from roomtone.settings import PROJECT_ROOT, Settings
from roomtone.stores.operational import OperationalStore, policy_versions

T0 = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
MILD = "- id: mild_complaint\n  version: 1\n"


class Brand:
    """A store and an editable copy of the shipped policies."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = replace(settings, policies_dir=folder)
        self.store = OperationalStore(self.settings)

    def publish(self, as_of: datetime = T0) -> publishing.PublishReport:
        return publish(self.settings, self.store, as_of)

    def edit(self, old: str, new: str, family: str = "suppression") -> None:
        path = self.settings.policies_dir / f"{family}.yml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def remove(self, rule: str, following: str) -> None:
        path = self.settings.policies_dir / "suppression.yml"
        text = path.read_text()
        start, end = text.index(f"- id: {rule}"), text.index(f"- id: {following}")
        path.write_text(text[:start] + text[end:])

    def rows(self) -> list[tuple[object, ...]]:
        with self.store.begin() as connection:
            return [tuple(row) for row in connection.execute(sa.select(policy_versions))]

    def windows(self, rule: str, as_of: datetime = T0 + 100 * DAY) -> list[tuple[int, object, object]]:
        with self.store.begin() as connection:
            applied = applied_versions(stored_versions(connection), as_of)
        return [(each.rule.version, each.applies_from, each.applies_to) for each in applied if each.rule.id == rule]


@pytest.fixture
def brand(settings: Settings, tmp_path: Path) -> Brand:
    folder = tmp_path / "policies"
    shutil.copytree(PROJECT_ROOT / "include" / "policies", folder)
    return Brand(settings, folder)


def test_the_first_publication_takes_every_rule_and_applies_to_all_history(brand: Brand) -> None:
    report = brand.publish()
    assert len(report.published) == len(brand.rows()) == load_policies(brand.settings.policies_dir).count
    assert (report.retired, report.count_unchanged) == ((), 0)
    assert brand.windows("mild_complaint") == [(1, None, None)]
    assert brand.windows("mild_complaint", as_of=T0 - 1000 * DAY) == [(1, None, None)]


def test_the_same_files_again_change_nothing(brand: Brand) -> None:
    first = brand.publish()
    before = brand.rows()
    report = brand.publish(T0 + DAY)
    assert report == publishing.PublishReport(count_unchanged=len(first.published))
    assert report.as_text() == f"{len(first.published)} rules unchanged"
    assert brand.rows() == before


def test_comments_order_of_keys_and_spelling_of_numbers_are_no_edit(brand: Brand) -> None:
    brand.publish()
    before = brand.rows()
    brand.edit("end: {cool_off_hours: 12, max_days: 7}", "end: {max_days: 7.0, cool_off_hours: 12.0}  # a week")
    brand.edit("pause: [discount, celebration]", "pause: [celebration, discount]")
    brand.edit(MILD, MILD + "  enabled: true\n")
    assert brand.publish(T0 + DAY).published == ()
    assert brand.rows() == before


def test_a_raised_version_is_appended_and_applies_from_its_publication(brand: Brand) -> None:
    brand.publish()
    brand.edit(MILD, MILD.replace("version: 1", "version: 2"))
    brand.edit("min_confidence: 0.60", "min_confidence: 0.65")
    report = brand.publish(T0 + DAY)
    assert report.published == ("mild_complaint version 2",)
    assert report.as_text().startswith("published mild_complaint version 2; ")
    assert brand.windows("mild_complaint") == [(1, None, T0 + DAY), (2, T0 + DAY, None)]
    # Nothing after an instant influences what is decided for it.
    assert brand.windows("mild_complaint", as_of=T0 + DAY / 2) == [(1, None, None)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("min_confidence: 0.60", "min_confidence: 0.65"),
        ("pause: [discount, celebration]", "pause: [discount]"),
        ("why: a small annoyance", "why: a tiny annoyance"),
        (MILD, MILD + "  enabled: false\n"),
    ],
)
def test_an_edit_without_a_new_version_is_refused_in_one_sentence(brand: Brand, old: str, new: str) -> None:
    brand.publish()
    before = brand.rows()
    brand.edit(old, new)
    with pytest.raises(RoomtoneError) as caught:
        brand.publish(T0 + DAY)
    assert str(caught.value) == (
        "suppression.yml, rule mild_complaint, version: 1 is published and the rule was edited since;"
        " set version: 2, so that past decisions keep the rule they were made by"
    )
    assert brand.rows() == before


def test_a_version_below_the_published_one_is_refused(brand: Brand) -> None:
    brand.edit(MILD, MILD.replace("version: 1", "version: 5"))
    brand.publish()
    brand.edit(MILD.replace("version: 1", "version: 5"), MILD.replace("version: 1", "version: 4"))
    with pytest.raises(RoomtoneError, match="4 is below the published version 5; set version: 6"):
        brand.publish(T0 + DAY)


def test_a_removed_rule_is_retired_and_comes_back_under_a_new_version(brand: Brand) -> None:
    brand.publish()
    text = (brand.settings.policies_dir / "suppression.yml").read_text()
    brand.remove("mild_complaint", "shipment_stalled")
    assert brand.publish(T0 + DAY).retired == ("mild_complaint version 1",)
    assert brand.publish(T0 + 2 * DAY).retired == ()
    assert brand.windows("mild_complaint") == [(1, None, T0 + DAY)]
    (brand.settings.policies_dir / "suppression.yml").write_text(text)
    with pytest.raises(RoomtoneError, match="1 was retired on 2026-03-03; set version: 2 to bring the rule back"):
        brand.publish(T0 + 3 * DAY)
    brand.edit(MILD, MILD.replace("version: 1", "version: 2"))
    assert brand.publish(T0 + 3 * DAY).published == ("mild_complaint version 2",)
    assert brand.windows("mild_complaint") == [(1, None, T0 + DAY), (2, T0 + 3 * DAY, None)]


def test_a_disabled_version_ends_the_one_before_it_and_decides_nothing(brand: Brand) -> None:
    brand.publish()
    brand.edit(MILD, MILD.replace("version: 1", "version: 2") + "  enabled: false\n")
    brand.publish(T0 + DAY)
    assert brand.windows("mild_complaint") == [(1, None, T0 + DAY)]
    assert brand.windows("welcome_back") == []


def test_one_wrong_file_stops_the_publication_of_all(brand: Brand) -> None:
    brand.publish()
    before = brand.rows()
    brand.edit(MILD, MILD.replace("version: 1", "version: 2"))
    brand.edit("kind: apology", "kind: apologie", family="recovery")
    with pytest.raises(RoomtoneError, match=r"recovery\.yml, line 9, rule apology_at_once, kind: 'apologie'"):
        brand.publish(T0 + DAY)
    assert brand.rows() == before


def test_one_refused_edit_stops_the_publication_of_all(brand: Brand) -> None:
    brand.publish()
    before = brand.rows()
    brand.edit("- id: open_negative_ticket\n  version: 1", "- id: open_negative_ticket\n  version: 2")
    brand.edit("max_per_day: 100", "max_per_day: 90", family="guardrails")
    with pytest.raises(RoomtoneError, match="rule offers_a_day"):
        brand.publish(T0 + DAY)
    assert brand.rows() == before


def test_a_policy_is_never_changed_backwards_in_time(brand: Brand) -> None:
    brand.publish()
    assert brand.publish(T0 - DAY).published == ()
    brand.edit(MILD, MILD.replace("version: 1", "version: 2"))
    with pytest.raises(RoomtoneError, match="never changed backwards"):
        brand.publish(T0 - DAY)
    brand.remove("mild_complaint", "shipment_stalled")
    with pytest.raises(RoomtoneError, match="never changed backwards"):
        brand.publish(T0 - DAY)


def test_an_id_keeps_its_family(brand: Brand) -> None:
    brand.publish()
    brand.remove("refund", "marked_spam")
    brand.edit("id: welcome_back\n  version: 2", "id: refund\n  version: 3", family="recovery")
    with pytest.raises(RoomtoneError, match="this id was published as a suppression rule; give the rule another id"):
        brand.publish(T0 + DAY)


def test_two_publishers_at_the_same_moment_leave_one_publication(brand: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "stored_versions", lambda _: [])
    brand.publish()
    before = brand.rows()
    with pytest.raises(RoomtoneError, match="published by another run at this moment"):
        brand.publish()
    assert brand.rows() == before


def test_what_is_in_force_is_what_was_published_and_not_what_the_files_say(brand: Brand) -> None:
    with pytest.raises(RoomtoneError, match="run `roomtone policies publish`"):
        policies_in_force(brand.store, T0)
    brand.publish()
    assert [rule.id for rule in policies_in_force(brand.store, T0).recovery if rule.kind == "welcome_back"] == []
    brand.edit("max_per_day: 100", "max_per_day: 60", family="guardrails")
    brand.edit("- id: offers_a_day\n  version: 1", "- id: offers_a_day\n  version: 2", family="guardrails")
    assert policies_in_force(brand.store, T0).guardrails.offers.max_per_day == 100
    brand.publish(T0 + DAY)
    assert policies_in_force(brand.store, T0 + DAY / 2).guardrails.offers.max_per_day == 100
    assert policies_in_force(brand.store, T0 + DAY).guardrails.offers.max_per_day == 60


def test_a_published_body_is_canonical_and_reads_back_as_the_rule(brand: Brand) -> None:
    brand.publish()
    policies = load_policies(brand.settings.policies_dir)
    with brand.store.begin() as connection:
        stored = {version.policy_id: version for version in stored_versions(connection)}
    for family, rules in policies.families.items():
        for rule in rules:
            version = stored[rule.id]
            assert version.body == json.dumps(
                json.loads(version.body), sort_keys=True, separators=(",", ":"), ensure_ascii=False
            )
            assert parse_rule(family, version.body) == rule
            assert version.fingerprint == publishing.fingerprint(rule)


def test_a_body_of_another_roomtone_is_named(brand: Brand) -> None:
    with pytest.raises(RoomtoneError, match="a suppression rule cannot be read"):
        parse_rule("suppression", '{"id": "mild_complaint", "sensitivity": 3}')
    with pytest.raises(RoomtoneError, match="upgrade this one"):
        parse_rule("astrology", "{}")


def test_the_fingerprint_sees_every_key_and_no_default(brand: Brand) -> None:
    rule = load_policies(brand.settings.policies_dir).suppression[0]
    assert isinstance(rule, SuppressionRule)
    told = publishing.fingerprint(rule)
    assert told == publishing.fingerprint(SuppressionRule.model_validate(rule.model_dump() | {"enabled": True}))
    for changed in ({"tier": 1, "pause": ("sms",)}, {"owner": "Somebody"}, {"whys": {}}, {"enabled": False}):
        assert told != publishing.fingerprint(SuppressionRule.model_validate(rule.model_dump() | changed))
