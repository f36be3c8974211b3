"""After a release people are let back in slowly, where the team has turned `welcome_back` on."""

import dataclasses
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from conftest import Sandbox
from roomtone.pipeline import run_once
from roomtone.sandbox.player import Brand, Entry, instant, play
from roomtone.settings import PROJECT_ROOT

DAY = timedelta(hours=24)
RELEASED = "Roomtone Welcome Back Due"
OFFERED = ("Roomtone Discount Code Due", "Roomtone Free Shipping Due")


def policies_with_a_ramp(folder: Path) -> Path:
    shutil.copytree(PROJECT_ROOT / "include" / "policies", folder)
    file = folder / "recovery.yml"
    head, rule, tail = file.read_text().partition("- id: welcome_back\n")
    file.write_text(head + rule + tail.replace("  enabled: false\n", "  enabled: true\n", 1))
    return folder


def promotions_within_a_day(log: list[Entry], release: Entry) -> list[Entry]:
    """What promotes to the released person in the day after: campaigns, flows, and the flows that offers start."""
    begun = instant(release["at"])

    def counts(entry: Entry) -> bool:
        if entry.get("profile_id") != release["profile_id"] or not begun <= instant(entry["at"]) < begun + DAY:
            return False
        if entry["kind"] == "event_received":
            return entry["metric"] in OFFERED and not entry["is_duplicate"]
        is_send = entry["kind"] == "campaign_send" and entry["outcome"] == "sent"
        return is_send and entry["scope"] != "transactional"

    return [entry for entry in log if counts(entry)]


def test_at_most_one_promotion_reaches_anybody_in_the_day_after_a_release(
    start_sandbox: Callable[..., Sandbox], tmp_path: Path
) -> None:
    sandbox = start_sandbox(customers=120)
    policies = policies_with_a_ramp(tmp_path / "policies")
    settings = dataclasses.replace(sandbox.settings(tmp_path / "home"), policies_dir=policies)
    brand = Brand(sandbox.url)

    def walk() -> None:
        assert run_once(settings, sandbox.now()).failures == []

    told = play(brand, walk)
    for _ in range(3):
        brand.advance_to(brand.now() + DAY)
        walk()
    log = brand.log()
    brand.close()
    releases = [entry for entry in log if entry["kind"] == "event_received" and entry["metric"] == RELEASED]
    assert len(releases) >= 3
    assert {len(promotions_within_a_day(log, release)) for release in releases} <= {0, 1}
    # She gets the goodwill offer and not the campaign of the same day; from the day after on she gets mail as before.
    assert (told.arrivals["maya"]["outcome"], told.arrivals["maya"]["reason"]) == ("skipped", "ramp")
    [hers] = [entry for entry in releases if entry["profile_id"] == told.arrivals["maya"]["profile_id"]]
    assert [entry["metric"] for entry in promotions_within_a_day(log, hers)] == ["Roomtone Discount Code Due"]
    later = [
        entry["reason"]
        for entry in log
        if entry["kind"] == "campaign_send"
        and entry["profile_id"] == hers["profile_id"]
        and entry["scope"] != "transactional"
        and instant(entry["at"]) >= instant(hers["at"]) + DAY
    ]
    assert None in later
    assert "ramp" not in later
