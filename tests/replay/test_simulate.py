"""`roomtone simulate` on a small brand: nothing differs by itself, a change is counted, the live home stays."""

import dataclasses
import hashlib
import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from end_to_end.brands import MILD, QUESTION, T0, UPSET, at, customer, message, ticket, write
from roomtone.cli import app
from roomtone.errors import RoomtoneError
from roomtone.pipeline import run_once
from roomtone.replay import simulate
from roomtone.replay.difference import Pauses, Sends
from roomtone.settings import PROJECT_ROOT, Settings, load_settings

UPSET_ONES, MILD_ONES, CALM_ONES = 30, 4, 26
EVERYBODY = [f"c{number:02d}" for number in range(UPSET_ONES + MILD_ONES + CALM_ONES)]


def brand(folder: Path) -> Path:
    """Thirty upset customers, four mildly displeased, the rest calm; an hour later all get the sale and a receipt."""
    texts = [UPSET] * UPSET_ONES + [MILD] * MILD_ONES + [QUESTION] * CALM_ONES
    return write(
        folder,
        {
            "customers": [customer(name) for name in EVERYBODY],
            "tickets": [ticket(f"t-{name}", name, "new", 0) for name in EVERYBODY]
            + [ticket(f"t-{name}", name, "solved", 30, opened=0) for name in EVERYBODY],
            "messages": [
                message(f"m-{name}", f"t-{name}", text, 0) for name, text in zip(EVERYBODY, texts, strict=True)
            ],
            "campaigns": [
                {"id": name, "name": name, "kind": "campaign", "channel": "email", "scope": scope, "updated_at": at(-9)}
                for name, scope in (("sale", "sales"), ("receipt", "transactional"), ("unscoped", None))
            ],
            "marketing_events": [
                {
                    "id": f"{campaign}-{name}-{kind}",
                    "customer_id": name,
                    "campaign_id": campaign,
                    "type": kind,
                    "occurred_at": at(hours),
                }
                for name in EVERYBODY
                for campaign, hours in (("sale", 1), ("receipt", 1), ("unscoped", 100))
                for kind in ("sent", "delivered")
            ],
        },
    )


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("simulate")
    made = load_settings(
        {"ROOMTONE_HOME": str(folder / "home"), "ROOMTONE_FILES_DIR": str(brand(folder / "brand"))},
    )
    report = run_once(made, T0 + timedelta(hours=120))
    assert report.failures == []
    return made


@pytest.fixture
def candidates(tmp_path: Path) -> Path:
    """A copy of the shipped policies."""
    return Path(shutil.copytree(PROJECT_ROOT / "include" / "policies", tmp_path / "candidates"))


def edit(folder: Path, family: str, old: str, new: str) -> Path:
    path = folder / f"{family}.yml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    return folder


def contents(home: Path) -> dict[str, str]:
    """A digest of every file that decides something."""
    folders = (home / "raw", home / "published", home / "sent")
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    files += [home / "warehouse.duckdb"]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_published_policies_and_the_model_in_force_differ_from_themselves_in_nothing(
    settings: Settings, candidates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(settings.home)
    monkeypatch.setenv("ROOMTONE_HOME", str(settings.home))
    # Only the price of the offer is another one.
    edit(candidates, "recovery", "offer_value: 6\n", "offer_value: 7\n")
    words = ["simulate", "--policies", str(candidates), "--model", str(settings.model_dir), "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["is_none"] is True
    assert (told["customers"], told["pauses"]["2"]["current"]) == (len(EVERYBODY), UPSET_ONES)
    assert told["owed"]["apology"]["candidate"] == UPSET_ONES
    assert told["model_version"]
    assert contents(settings.home) == before, "the live home is read and not written"
    assert not list(settings.home.glob("replay-*")), "nothing is left behind"


def test_a_rule_switched_off_is_counted_by_tier_scope_send_and_offer(settings: Settings, candidates: Path) -> None:
    edit(
        candidates, "suppression", "  why: nobody wants to be sold", "  enabled: false\n  why: nobody wants to be sold"
    )
    found = simulate(settings, candidates)
    assert not found.is_none
    assert found.pauses[2] == Pauses(UPSET_ONES, 0, 0, UPSET_ONES, 0, UPSET_ONES)
    # From the message to a day after the ticket was solved, 54 hours each.
    assert found.hours["sales"].removed == pytest.approx(UPSET_ONES * 54)
    assert found.hours["sales"].candidate == 0
    # The soft pause of the mild rule lasts for the same people till half a day after the solution.
    assert found.hours["discount"].removed == pytest.approx(UPSET_ONES * (54 - 42))
    # The sale went out in their pause; the receipt and what left after it are no matter of pauses.
    assert found.sends == Sends(len(EVERYBODY) * 2, 0, 0, UPSET_ONES, UPSET_ONES)
    apologies = found.owed["apology"]
    assert (apologies.current, apologies.candidate, apologies.removed) == (UPSET_ONES, 0, UPSET_ONES)
    assert found.breaches == ()
    text = found.as_text()
    assert "tier 2 negative" in text
    assert f"{UPSET_ONES:,} left in a pause that would not be there" in text


def test_what_cannot_be_tried_is_one_line(settings: Settings, candidates: Path, tmp_path: Path) -> None:
    for arguments, told in (
        ({"policies_dir": tmp_path / "nowhere"}, "suppression.yml: does not exist"),
        ({"model_dir": tmp_path / "nowhere"}, "nowhere"),
        ({"policies_dir": candidates, "from_at": T0 + timedelta(days=90)}, "--from: 2026-05-31"),
    ):
        with pytest.raises(RoomtoneError) as caught:
            simulate(settings, **arguments)
        assert told in str(caught.value)
        assert "\n" not in str(caught.value)
    never_run = dataclasses.replace(
        settings, home=tmp_path / "new", operational_url=f"sqlite:///{tmp_path / 'new' / 'operational.db'}"
    )
    with pytest.raises(RoomtoneError, match="no pass has ever run here"):
        simulate(never_run, candidates)


def test_the_command_wants_something_to_try_and_names_what_it_cannot_read(settings: Settings) -> None:
    for words, told in (
        (["simulate"], "simulate: nothing to try; give --policies DIR or --model DIR"),
        (["simulate", "--policies", "x", "--from", "monday"], "--from: "),
        (["why", "c01", "--at", "monday"], "--at: "),
    ):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 1
        assert told in str(result.exception)
