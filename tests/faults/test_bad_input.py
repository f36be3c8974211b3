"""Bad input: each kind gets one clear line, nothing is lost, the rest goes on."""

import dataclasses
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from end_to_end.brands import QUESTION, T0, UPSET, at, customer, message, story, ticket, write
from roomtone.pipeline import run_once
from roomtone.policies.why import explain
from roomtone.settings import Settings, load_settings
from roomtone.stores import raw

BROKEN_MESSAGES = [
    ('{"id": "cut', "JSON"),
    ("[1, 2]", "JSON object"),
    (json.dumps(message("no-offset", "t-maya", "x", 0) | {"created_at": "2026-03-02T09:00:00"}), "UTC offset"),
    (
        json.dumps({key: value for key, value in message("no-author", "t-maya", "x", 0).items() if key != "author"}),
        "missing",
    ),
    (json.dumps(message("robot", "t-maya", "x", 0, author="robot")), "'robot'"),
    (json.dumps(message("typed", "t-maya", "x", 0) | {"is_public": "yes"}), "boolean"),
    (json.dumps(message("number", "t-maya", "x", 0) | {"body": 7}), "string"),
    (json.dumps(message("half", "t-maya", "\ud83d", 0)), "surrogate"),
]

STRANGE_BODIES = {
    "empty": "",
    "blank": " \n\t ",
    "emoji": "😡" * 5_000,
    "right-to-left": "الطرد لم يصل بعد \u202e and then back",
    "nul": "my parcel\x00is lost",
    "zero-width": "I a\u200bm ve\u200dry an\ufeffgry",
    "sql": "'); drop table fct_message_scores; --",
    "template": "{{ env_var('HOME') }} {% raw %} ${HOME} $(id)",
    "huge": "My parcel is lost and I am furious. " * 300_000,
}


@pytest.fixture
def brand(tmp_path: Path) -> Path:
    return story(tmp_path / "brand")


@pytest.fixture
def environ(brand: Path, tmp_path: Path) -> dict[str, str]:
    return {"ROOMTONE_HOME": str(tmp_path / "home"), "ROOMTONE_FILES_DIR": str(brand)}


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    return load_settings(environ)


def marts(settings: Settings, sql: str) -> list[tuple]:
    with duckdb.connect(str(settings.published_dir / "marts.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def command(environ: dict[str, str], *words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "roomtone.cli", *words],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_every_broken_line_is_quarantined_with_place_and_reason(settings: Settings, brand: Path) -> None:
    file = brand / "messages" / "broken.jsonl"
    good = json.dumps(message("good-after-bad", "t-ana", "Thank you!", 0.1))
    file.write_text("\n".join([line for line, _ in BROKEN_MESSAGES] + [good]) + "\n")
    report = run_once(settings, T0 + timedelta(hours=1))
    assert report.is_valid
    quarantined = {row["location"]: row["reason"] for row in raw.quarantined(settings).to_pylist()}
    assert len(quarantined) == len(BROKEN_MESSAGES)
    for number, (_, words) in enumerate(BROKEN_MESSAGES, 1):
        [reason] = [reason for location, reason in quarantined.items() if location.endswith(f"broken.jsonl:{number}")]
        assert words in reason
        assert "\n" not in reason
    assert marts(settings, "select count(*) from fct_message_scores where message_id = 'good-after-bad'") == [(1,)]
    counts = report.stages["extract files"].streams["messages"]
    assert counts.read == counts.landed + counts.duplicate + counts.quarantined == 4 + len(BROKEN_MESSAGES)


def test_strange_texts_go_through_whole(settings: Settings, brand: Path) -> None:
    tickets = [ticket(f"t-{name}", "ana", "open", 0) for name in STRANGE_BODIES]
    bodies = [message(f"m-{name}", f"t-{name}", body, 0) for name, body in STRANGE_BODIES.items()]
    write(brand, {"tickets": tickets, "messages": bodies}, name="strange")
    report = run_once(settings, T0 + timedelta(hours=1))
    assert report.failures == []
    scored = dict(marts(settings, "select message_id, is_abstained from fct_message_scores"))
    assert set(scored) >= {f"m-{name}" for name in STRANGE_BODIES}
    assert scored["m-empty"]
    assert scored["m-blank"]
    assert scored["m-right-to-left"]
    assert marts(settings, "select count(*) from fct_message_scores where isnan(p_negative)") == [(0,)]


def test_records_that_point_nowhere_are_kept_and_do_not_stop_the_rest(settings: Settings, brand: Path) -> None:
    write(
        brand,
        {
            "tickets": [ticket("t-stranger", "nobody-knows", "open", 0)],
            "messages": [
                message("m-stranger", "t-stranger", "I am furious, this is a disgrace!", 0),
                message("m-lost", "t-unknown", "I am furious, this is a disgrace!", 0),
            ],
        },
        name="stray",
    )
    report = run_once(settings, T0 + timedelta(hours=1))
    assert report.failures == []
    assert marts(settings, "select count(*) from fct_message_scores where message_id in ('m-stranger', 'm-lost')") == [
        (2,)
    ]
    assert {row[0] for row in marts(settings, "select customer_id from sync_suppression_segment")} >= {"maya"}


def test_old_and_repeated_versions_change_nothing(settings: Settings, brand: Path) -> None:
    run_once(settings, T0 + timedelta(hours=1))
    before = marts(settings, "select * from fct_tickets order by all")
    old = ticket("t-maya", "maya", "open", -5, opened=-5, order_id="o1")
    write(brand, {"tickets": [old, ticket("t-maya", "maya", "new", 0, order_id="o1")]}, name="again")
    run_once(settings, T0 + timedelta(hours=1))
    after = marts(settings, "select * from fct_tickets order by all")
    assert [row[:4] for row in after] == [row[:4] for row in before]


def test_messages_from_the_future_do_not_exist_yet(settings: Settings, brand: Path) -> None:
    write(brand, {"messages": [message("m-ana-2", "t-ana", "I am furious! This is a disgrace!", 5)]}, name="future")
    run_once(settings, T0 + timedelta(hours=1))
    assert marts(settings, "select count(*) from fct_suppression_causes where customer_id = 'ana'") == [(0,)]
    run_once(settings, T0 + timedelta(hours=6))
    assert marts(settings, "select count(*) > 0 from fct_suppression_causes where customer_id = 'ana'") == [(True,)]


def dated(record: dict, instant: str) -> dict:
    """The record as one of another instant."""
    return record | {"created_at": instant, "updated_at": instant}


def test_records_that_make_no_sense_are_decided_as_documented_and_named(settings: Settings, brand: Path) -> None:
    """Merges into nothing, in a ring and into itself; two records of one instant; no address; summer time's edges."""
    spring, summer = "2026-03-29T01:59:59+01:00", "2026-03-29T03:00:00+02:00"
    write(
        brand,
        {
            "customers": [
                {key: value for key, value in customer("homeless").items() if key != "email"},
                customer("twice", email="one@example.com"),
                customer("twice", email="two@example.com"),
            ],
            "tickets": [
                ticket("t-self", "self", "open", 1, opened=0, merged_into="t-self"),
                ticket("t-ring", "ring", "open", 1, opened=0, merged_into="t-ring-2"),
                ticket("t-ring-2", "ring", "open", 1, opened=0, merged_into="t-ring-3"),
                ticket("t-ring-3", "ring", "open", 1, opened=0, merged_into="t-ring"),
                ticket("t-nowhere", "nowhere", "open", 1, opened=0, merged_into="t-unknown"),
                ticket("t-homeless", "homeless", "open", 0),
                dated(ticket("t-spring", "spring", "open", 0), spring),
                dated(ticket("t-naive", "naive", "open", 0), "2026-03-29T02:30:00"),
            ],
            "messages": [
                *(message(f"m-{key}", f"t-{key}", UPSET, 0.5) for key in ("self", "ring", "nowhere", "homeless")),
                message("m-twice", "t-ana", "Thank you so much, all is well!", 0.5),
                message("m-twice", "t-ana", UPSET, 0.5),
                dated(message("m-spring", "t-spring", UPSET, 0), spring),
                dated(message("m-spring-2", "t-spring", f"Still nothing. {UPSET}", 0), summer),
            ],
        },
        name="senseless",
    )
    report = run_once(settings, T0 + timedelta(days=27, hours=12))
    assert report.failures == []
    notes = "\n".join(report.notes)
    assert "quarantined tickets at tickets/senseless.jsonl:8: tickets.created_at: '2026-03-29T02:30:00'" in notes
    assert "raw.tickets: tickets merged into themselves, in a ring, or into one that is not there: 5;" in notes
    for stream in ("customers", "messages"):
        assert f"raw.{stream}: ids of which two records of one instant disagree: 1;" in notes
    paused = dict(
        marts(
            settings,
            "select customer_id, started_at from fct_suppression_causes where policy_id = 'open_negative_ticket'",
        )
    )
    half_past = (T0 + timedelta(hours=0.5)).replace(tzinfo=None)
    assert {paused[key] for key in ("self", "ring", "nowhere", "homeless")} == {half_past}
    assert paused["spring"].isoformat() == "2026-03-29T00:59:59"
    [(planned,)] = marts(settings, "select planned_end_at from fct_suppressions where customer_id = 'spring' limit 1")
    assert planned.isoformat() == "2026-04-12T01:00:00", "fourteen days of 24 hours after the later message"
    assert marts(
        settings,
        "select status, status_reason from fct_recovery_triggers where customer_id = 'homeless' and kind = 'apology'",
    ) == [("blocked", "no_address")]


def test_rules_that_would_pause_more_than_the_guardrail_lets_through_are_held_and_told(
    settings: Settings, tmp_path: Path
) -> None:
    names = [f"asking-{number}" for number in range(60)]
    brand = write(
        tmp_path / "calm",
        {
            "customers": [customer(name) for name in names],
            "tickets": [ticket(f"t-{name}", name, "open", 0) for name in names],
            "messages": [message(f"m-{name}", f"t-{name}", QUESTION, 0) for name in names],
        },
    )
    calm = dataclasses.replace(settings, files_dir=brand)
    run_once(calm, T0 + timedelta(hours=1))
    folder = tmp_path / "policies"
    shutil.copytree(settings.policies_dir, folder)
    with (folder / "suppression.yml").open("a") as file:
        file.write(
            "- {id: any_question, version: 1, owner: nobody, why: a trial, tier: 1, pause: [sales],"
            " start: {sentiment: neutral, min_confidence: 0.5}, end: {cool_off_hours: 1, max_days: 1}}\n"
        )
    report = run_once(dataclasses.replace(calm, policies_dir=folder), T0 + timedelta(hours=2))
    assert report.notes == ["files: held 60 profile_properties: too many customers newly paused"]
    # What is held is decided all the same, and told apart from what is in effect.
    assert marts(settings, "select count(distinct customer_id) from sync_suppression_segment") == [(60,)]
    told = explain(calm, "asking-7").as_text()
    assert "\npaused by any_question version 1 " in told
    assert "\nnot in effect at files (sales): held there with all 60 since 2026-03-02 11:00:00 UTC: too many " in told


def damaged(good: Path, folder: Path, damage: str) -> Path:
    """A copy of the shipped model, spoilt in one way."""
    shutil.copytree(good, folder)
    boosters = [path for path in folder.iterdir() if path.suffix == ".txt"]
    victim = max(boosters, key=lambda path: path.stat().st_size)
    if damage == "missing":
        shutil.rmtree(folder)
    elif damage == "truncated":
        victim.write_bytes(victim.read_bytes()[:-1000])
    elif damage == "changed":
        text = bytearray(victim.read_bytes())
        text[len(text) // 2] ^= 1
        victim.write_bytes(bytes(text))
    else:
        (folder / "manifest.json").unlink()
    return folder


def test_a_model_that_cannot_be_used_is_named_and_the_last_good_one_scores(
    settings: Settings, brand: Path, tmp_path: Path
) -> None:
    run_once(settings, T0 + timedelta(hours=0.1))
    write(brand, {"messages": [message("m-ana-2", "t-ana", "Still nobody answers.", 0.2)]}, name="more")
    for number, damage in enumerate(("missing", "truncated", "changed", "no manifest"), 1):
        folder = damaged(settings.model_dir, tmp_path / damage, damage)
        report = run_once(dataclasses.replace(settings, model_dir=folder), T0 + timedelta(hours=0.2 + number / 100))
        # The waiting message is scored at once, by the copy of the model that passed its checks before.
        assert report.messages_scored == (1 if number == 1 else 0)
        assert report.stages["score"].is_degraded
        [failure] = report.failures
        assert "model" in failure
        assert str(folder) in failure
        assert "\n" not in failure
        assert {row[0] for row in marts(settings, "select customer_id from sync_suppression_segment")} >= {"maya"}
    # The good model is the one that scored meanwhile, so nothing is left to score when it is back.
    report = run_once(settings, T0 + timedelta(hours=0.4))
    assert report.messages_scored == 0
    assert not report.stages["score"].is_degraded


def test_a_wrong_policy_file_stops_with_its_name_and_the_key(
    settings: Settings, environ: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(settings.policies_dir, folder)
    text = (folder / "suppression.yml").read_text()
    assert "max_days" in text
    (folder / "suppression.yml").write_text(text.replace("max_days", "max_dayz", 1))
    done = command({**environ, "ROOMTONE_POLICIES": str(folder)}, "run", "--as-of", at(1))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "suppression.yml" in done.stderr
    assert "max_dayz" in done.stderr


def test_a_rule_edited_in_place_is_refused(settings: Settings, environ: dict[str, str], tmp_path: Path) -> None:
    run_once(settings, T0)
    folder = tmp_path / "policies"
    shutil.copytree(settings.policies_dir, folder)
    text = (folder / "suppression.yml").read_text()
    assert "cool_off_hours: 24" in text
    (folder / "suppression.yml").write_text(text.replace("cool_off_hours: 24", "cool_off_hours: 25", 1))
    done = command({**environ, "ROOMTONE_POLICIES": str(folder)}, "run", "--as-of", at(1))
    assert done.returncode == 1
    assert "version" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    done = command(
        {"ROOMTONE_HOME": str(tmp_path / "home"), "ROOMTONE_FILES_DIR": str(tmp_path / "nowhere")},
        "run",
        "--as-of",
        at(),
    )
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_source_is_named_and_the_known_are_listed(environ: dict[str, str]) -> None:
    done = command({**environ, "ROOMTONE_SOURCES": "files,carrier-pigeon"}, "run", "--as-of", at(1))
    assert done.returncode == 1
    assert "carrier-pigeon" in done.stderr
    assert "zendesk" in done.stderr


def test_no_write_permission_is_one_line(environ: dict[str, str], tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    done = command({**environ, "ROOMTONE_HOME": str(blocked / "home")}, "run", "--as-of", at())
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "a-file" in done.stderr


def test_a_full_disk_is_one_line_and_loses_nothing(settings: Settings, environ: dict[str, str]) -> None:
    """A file-size limit fails writes as a full disk does, in a process of its own."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    done = command(environ, "run", "--as-of", at(1), preexec_fn=limit)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr, done.stderr
    report = run_once(settings, T0 + timedelta(hours=1))
    assert report.failures == []
    assert marts(settings, "select count(*) from fct_message_scores") == [(3,)]


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "roomtone.sandbox", "serve", "--port", str(port), "--customers", "5"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr


def test_score_names_each_line_it_cannot_score(environ: dict[str, str]) -> None:
    lines = [
        '{"id": "1", "text": "Thank you so much!"}',
        "not json",
        '{"id": "3"}',
        '{"id": "4", "text": "\\ud83d"}',
        '{"id": "5", "text": ""}',
    ]
    done = command(environ, "score", input="\n".join(lines))
    assert done.returncode == 1
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == ["1", "5"]
    assert answers[0]["sentiment"] == "positive"
    assert answers[1]["is_abstained"]
    for number in (2, 3, 4):
        assert f"line {number}: " in done.stderr
