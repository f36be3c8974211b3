"""The `files` source: what is read, what is refused and why, and what a second look at a file makes of it."""

import json
import os
import random
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from extract.desk import AS_OF, Desk, message
from roomtone.errors import RoomtoneError
from roomtone.extract import StreamCount, extract
from roomtone.settings import load_settings

RECORDS: dict[str, dict[str, Any]] = {
    "customers": {
        "id": "c1",
        "email": "maya@example.com",
        "email_marketing_consent": True,
        "sms_marketing_consent": "NEVER_SUBSCRIBED",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00+02:00",
    },
    "tickets": {
        "id": "t1",
        "customer_id": "c1",
        "channel": "email",
        "status": "open",
        "created_at": "2026-03-01T10:00:00Z",
        "updated_at": "2026-03-01T10:00:00Z",
    },
    "messages": message(),
    "satisfaction_ratings": {"id": "s1", "ticket_id": "t1", "score": 4, "created_at": "2026-03-01T10:00:00Z"},
    "orders": {
        "id": "o1",
        "customer_id": "c1",
        "placed_at": "2026-02-01T10:00:00Z",
        "total": 19.99,
        "currency": "EUR",
        "status": "paid",
        "updated_at": "2026-02-01T10:00:00Z",
    },
    "shipments": {"id": "h1", "order_id": "o1", "updated_at": "2026-02-02T10:00:00Z"},
    "campaigns": {
        "id": "k1",
        "name": "Spring sale",
        "kind": "campaign",
        "channel": "email",
        "scope": "sales",
        "updated_at": "2026-02-02T10:00:00Z",
    },
    "marketing_events": {
        "id": "e1",
        "customer_id": "c1",
        "campaign_id": "k1",
        "type": "sent",
        "occurred_at": "2026-02-02T10:00:00Z",
    },
}


def test_each_stream_lands_with_its_columns_and_its_whole_record(desk: Desk) -> None:
    for stream, record in RECORDS.items():
        desk.write(f"{stream}/a.jsonl", [record | {"loyalty": {"level": [1, 2]}}])
    report = desk.extract()
    assert report.total == StreamCount(read=8, landed=8)
    assert set(report.streams) == set(RECORDS)
    for stream, record in RECORDS.items():
        (row,) = desk.rows(stream)
        assert row["id"] == record["id"]
        assert row["source"] == "files"
        assert row["received_at"] == AS_OF.replace(tzinfo=None)
        assert json.loads(row["payload"]) == record | {"loyalty": {"level": [1, 2]}}
    (customer,) = desk.rows("customers")
    assert customer["updated_at"] == datetime(2025, 12, 31, 22)  # noqa: DTZ001 - stored without zone
    assert (customer["email_marketing_consent"], customer["sms_marketing_consent"]) == (True, False)
    assert desk.rows("orders")[0]["total"] == Decimal("19.9900")


BAD_LINES: dict[str, tuple[bytes, str]] = {
    "broken JSON": (b'{"id": "m1", "body": "SECRET', "not JSON"),
    "two values on a line": (b'{"id": "m1"} {"SECRET": 1}', "not JSON"),
    "a list": (b'["SECRET"]', "is not a JSON object"),
    "a bare word": (b"SECRET", "not JSON"),
    "not a number": (b'{"id": NaN, "body": "SECRET"}', "NaN is no JSON value"),
    "a number of ten thousand digits": (b'{"id": ' + b"9" * 10_000 + b', "body": "SECRET"}', "not JSON"),
    "deep nesting": (b"[" * 200_000, "nested too deeply"),
    "not UTF-8": (b'{"id": "\xff\xfeSECRET"}', "not UTF-8 at byte 9"),
    "UTF-16": ('{"id": "SECRET"}'.encode("utf-16"), "not UTF-8 at byte 1"),
    "an id that is a number": (json.dumps(message(id=7)).encode(), "messages.id"),
    "an empty id": (json.dumps(message(id="")).encode(), "messages.id"),
    "a missing field": (json.dumps(message(ticket_id=...)).encode(), "messages.ticket_id: is missing"),
    "a body that is null": (json.dumps(message(body=None)).encode(), "messages.body"),
    "a body that is a list": (json.dumps(message(body=["SECRET"])).encode(), "messages.body: a list"),
    "an unknown author": (json.dumps(message(author="supervisor")).encode(), "messages.author"),
    "a flag in words": (json.dumps(message(is_public="yes")).encode(), "messages.is_public"),
    "a time without offset": (json.dumps(message(created_at="2026-03-01T10:00:00")).encode(), "has no UTC offset"),
    "a date": (json.dumps(message(created_at="2026-03-01")).encode(), "not an RFC 3339 timestamp"),
    "a time that is a number": (json.dumps(message(created_at=1_772_359_200)).encode(), "not an RFC 3339 timestamp"),
    "a time before the first year": (
        json.dumps(message(created_at="0001-01-01T00:00:00+14:00")).encode(),
        "outside the calendar",
    ),
    "a lone surrogate": (b'{"id": "m1", "body": "SECRET \\ud83d"}', "messages"),
    "a lone surrogate in an unknown field": (
        json.dumps(message()).encode()[:-1] + b', "note": "SECRET \\ud83d"}',
        "send UTF-8 text",
    ),
}


def test_lines_that_do_not_fit_are_quarantined_with_their_reasons_and_the_rest_lands(desk: Desk) -> None:
    lines: list[dict[str, Any] | bytes] = []
    for number, (line, _) in enumerate(BAD_LINES.values()):
        lines += [message(number), line]
    desk.write("messages/a.jsonl", lines)
    report = desk.extract()
    bad = len(BAD_LINES)
    assert report.streams["messages"] == StreamCount(read=2 * bad, landed=bad, quarantined=bad)
    entries = {entry["location"]: entry for entry in desk.quarantine()}
    for number, (kind, (line, expected)) in enumerate(BAD_LINES.items()):
        entry = entries[f"messages/a.jsonl:{2 * number + 2}"]
        assert expected in entry["reason"], kind
        assert "SECRET" not in entry["reason"], kind
        assert "\n" not in entry["reason"], kind
        assert entry["excerpt"] or kind == "deep nesting" or not line, kind


def test_odd_but_valid_lines_land(desk: Desk) -> None:
    hostile = "'; drop table raw.messages; -- {{7*7}}"
    texts = ["", "🎂 عيد ميلاد سعيد \u202e", "a\u0000b\u200b", hostile, "x" * 10_000_000]
    lines = [json.dumps(message(n, body=text), ensure_ascii=n % 2 == 0).encode() for n, text in enumerate(texts)]
    content = b"\xef\xbb\xbf" + b"\r\n".join([lines[0], b"", *lines[1:4], b"   ", lines[4]])
    path = desk.write("messages/a.jsonl", [])
    path.write_bytes(content)
    report = desk.extract()
    assert report.streams["messages"] == StreamCount(read=5, landed=5)
    assert [row["body"] for row in sorted(desk.rows("messages"), key=lambda row: row["id"])] == texts


def test_a_line_too_long_to_hold_is_refused_and_the_next_one_lands(desk: Desk) -> None:
    long = json.dumps(message(1, body="y" * (17 * 1024 * 1024))).encode()
    desk.write("messages/a.jsonl", [long, message(2), long + b" "])
    report = desk.extract()
    assert report.streams["messages"] == StreamCount(read=3, landed=1, quarantined=2)
    entries = desk.quarantine()
    assert [entry["location"] for entry in entries] == ["messages/a.jsonl:1", "messages/a.jsonl:3"]
    assert [entry["size_bytes"] for entry in entries] == [len(long) + 1, len(long) + 2]
    assert all(len(entry["excerpt"]) < 20_000 for entry in entries)
    assert desk.extract().streams == {}


def test_a_long_line_at_the_end_is_read_again_as_a_whole_when_it_grows(desk: Desk) -> None:
    path = desk.write("messages/a.jsonl", [message(1)])
    long = json.dumps(message(2, body="y" * (17 * 1024 * 1024))).encode()
    path.write_bytes(path.read_bytes() + long[:-5])
    assert desk.extract().streams["messages"] == StreamCount(read=2, landed=1, quarantined=1)
    path.write_bytes(path.read_bytes() + long[-5:] + b"\n" + json.dumps(message(3)).encode())
    assert desk.extract().streams["messages"] == StreamCount(read=2, landed=1, quarantined=1)
    assert {entry["size_bytes"] for entry in desk.quarantine()} == {len(long) - 5, len(long) + 1}


def test_order_and_repetition_of_arrival_never_matter(tmp_path: Path) -> None:
    versions = [
        message(n, body=f"text {n}.{v}", updated_at=f"2026-03-01T10:0{v}:00Z") for n in range(40) for v in range(5)
    ]
    outcomes = []
    for seed in range(2):
        chance = random.Random(seed)
        lines = [*versions, *chance.choices(versions, k=60)]
        chance.shuffle(lines)
        folder = tmp_path / f"input{seed}"
        settings = load_settings({"ROOMTONE_HOME": str(tmp_path / f"home{seed}"), "ROOMTONE_FILES_DIR": str(folder)})
        desk = Desk(settings, folder)
        read = landed = 0
        for part in range(3):
            desk.write(f"messages/{chance.random()}.jsonl", lines[part::3])
            total = desk.extract().total
            read, landed = read + total.read, landed + total.landed
        assert (read, landed) == (260, 200)
        outcomes.append(desk.landed("messages"))
        assert set(outcomes[-1].values()) == {1}
    assert outcomes[0] == outcomes[1]


def test_an_unchanged_file_is_not_read_again_and_an_appended_one_is_continued(desk: Desk) -> None:
    desk.write("messages/a.jsonl", [message(n) for n in range(50)])
    assert desk.extract().total.landed == 50
    assert desk.extract().streams == {}
    desk.write("messages/a.jsonl", [message(50), b"{broken"], mode="ab")
    assert desk.extract().streams["messages"] == StreamCount(read=2, landed=1, quarantined=1)
    assert desk.quarantine()[0]["location"] == "messages/a.jsonl:52"
    desk.write("messages/b.jsonl", [message(51)])
    assert desk.extract().streams["messages"] == StreamCount(read=1, landed=1)


def test_a_file_changed_in_place_is_read_again_and_what_is_known_is_a_duplicate(desk: Desk) -> None:
    path = desk.write("messages/a.jsonl", [message(n) for n in range(10)] + [b"{broken"])
    desk.extract()
    path.write_bytes(path.read_bytes().replace(b"order 3?", b"order X?"))
    assert desk.extract().streams["messages"] == StreamCount(read=11, landed=1, duplicate=10)
    assert len(desk.quarantine()) == 1
    path.write_bytes(b"")
    assert desk.extract().streams == {}
    os.utime(desk.write("messages/a.jsonl", [message(n) for n in range(10)]), (1, 1))
    assert desk.extract().streams["messages"] == StreamCount(read=10, duplicate=10)


def test_a_touched_file_changes_nothing(desk: Desk) -> None:
    path = desk.write("messages/a.jsonl", [message(n) for n in range(10)])
    desk.extract()
    os.utime(path, (1_000, 1_000))
    assert desk.extract().total == StreamCount()
    assert len(desk.landed("messages")) == 10


def test_a_last_line_without_newline_is_read_and_read_again_when_it_grows(desk: Desk) -> None:
    path = desk.write("messages/a.jsonl", [message(1)])
    whole = json.dumps(message(2)).encode()
    path.write_bytes(path.read_bytes() + whole)
    assert desk.extract().total.landed == 2
    path.write_bytes(path.read_bytes() + b"\n" + whole[:20])
    assert desk.extract().streams["messages"] == StreamCount(read=2, duplicate=1, quarantined=1)
    path.write_bytes(path.read_bytes() + json.dumps(message(3)).encode()[20:] + b"\n")
    # The first twenty bytes of both messages are alike, so that the grown line is message 3 with the id of message 2.
    report = desk.extract()
    assert report.total.read == 1
    assert report.total.landed == 1
    assert sum(desk.landed("messages").values()) == 3


def test_one_unreadable_file_is_quarantined_and_the_rest_goes_on(desk: Desk) -> None:
    desk.write("messages/b.jsonl", [message(1)])
    (desk.folder / "messages" / "a.jsonl").symlink_to(desk.folder / "nowhere.jsonl")
    os.mkfifo(desk.folder / "messages" / "c.jsonl")
    report = desk.extract()
    assert report.streams["messages"] == StreamCount(read=3, landed=1, quarantined=2)
    reasons = {entry["location"]: entry["reason"] for entry in desk.quarantine()}
    assert "No such file" in reasons["messages/a.jsonl"]
    assert "not a regular file" in reasons["messages/c.jsonl"]
    assert desk.extract().streams["messages"] == StreamCount(read=2, duplicate=2)
    assert len(desk.quarantine()) == 2


def test_what_is_no_input_is_reported_and_ignored(desk: Desk) -> None:
    desk.write("messages/2026/03/a.jsonl", [message(1)])
    desk.write("messages/a.json", [message(2)])
    desk.write("reviews/a.jsonl", [message(3)])
    desk.write("stray\n.jsonl", [message(4)])
    (desk.folder / "messages" / "circle").symlink_to(desk.folder / "messages", target_is_directory=True)
    report = desk.extract()
    assert report.streams["messages"] == StreamCount(read=1, landed=1)
    assert set(report.ignored) == {"messages/a.json", "messages/circle", "reviews", "stray\\n.jsonl"}


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    with pytest.raises(RoomtoneError, match=r"ROOMTONE_FILES_DIR: is not set; set it to"):
        extract(load_settings({"ROOMTONE_HOME": home}), "files", AS_OF)
    missing = load_settings({"ROOMTONE_HOME": home, "ROOMTONE_FILES_DIR": str(tmp_path / "none")})
    with pytest.raises(RoomtoneError, match=r"ROOMTONE_FILES_DIR: .*/none cannot be listed \(No such file"):
        extract(missing, "files", AS_OF)


def test_an_unknown_source_is_named_with_those_that_exist(desk: Desk) -> None:
    with pytest.raises(
        RoomtoneError, match=r"'zendsk' is not known; use one of files, klaviyo, shop, webhook, zendesk"
    ):
        extract(desk.settings, "zendsk", AS_OF)


def test_a_source_without_address_names_the_variable(desk: Desk) -> None:
    with pytest.raises(RoomtoneError, match="ROOMTONE_SHOP_URL"):
        extract(desk.settings, "shop", AS_OF)


def test_counts_of_every_run_are_kept(desk: Desk) -> None:
    desk.write("messages/a.jsonl", [message(1), message(1), b"{"])
    desk.extract()
    desk.write("messages/b.jsonl", [message(1)])
    desk.extract()
    runs = [
        (run["stream"], run["count_read"], run["count_landed"], run["count_duplicate"], run["count_quarantined"])
        for run in desk.runs()
    ]
    assert runs == [("messages", 3, 1, 1, 1), ("messages", 1, 0, 1, 0)]
    assert {run["as_of"] for run in desk.runs()} == {AS_OF}
