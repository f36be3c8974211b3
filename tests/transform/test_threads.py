"""What came before a message, against a plain-Python telling of it: repetition by meaning, contacts, tone, waiting."""

import random
from pathlib import Path

import pytest

from roomtone.score import concepts
from roomtone.settings import PROJECT_ROOT, Settings
from roomtone.validate.mart_suites import MOST_COMPARED
from transform.histories import History, Row, build, query, write

TEXTS = [
    text
    for line in (Path(__file__).parents[1] / "score" / "concept_pairs.txt").read_text(encoding="utf-8").splitlines()
    if " | " in line
    for text in line.split(" | ")
]


def say(history: History, ticket_id: str, hour: float, text: str, **score: object) -> str:
    message_id = history.message(ticket_id, hour, **score)
    history.say(text)
    return message_id


def threads(settings: Settings) -> dict[str, Row]:
    build(settings, "run", "--select", "+int_message_threads")
    return {row["message_id"]: row for row in query(settings, "select * from intermediate.int_message_threads")}


def told(messages: list[Row], replies: list[tuple[str, float]]) -> dict[str, Row]:
    """The same by loops; `messages` are those of one customer: id, ticket, hour, text, p_negative, is_asking."""
    messages = sorted(messages, key=lambda row: (row["hour"], row["id"]))
    packed = dict(zip((row["id"] for row in messages), concepts.pack([row["text"] for row in messages]), strict=True))
    asking = [row for row in messages if row["is_asking"]]
    starts = [
        row["hour"]
        for place, row in enumerate(messages)
        if row["is_asking"] and (place == 0 or row["hour"] - messages[place - 1]["hour"] >= 1)
    ]
    found = {}
    for row in messages:
        hour = row["hour"]
        earlier = asking[: asking.index(row)][-50:] if row["is_asking"] else []
        again = [
            other
            for other in earlier
            if hour - other["hour"] <= 720
            and concepts.likeness(packed[other["id"]], packed[row["id"]]) >= concepts.LEAST_LIKENESS
        ]
        window = [other for other in messages if hour - 720 <= other["hour"] <= hour]
        answered = [at_hour for ticket, at_hour in replies if ticket == row["ticket"] and at_hour <= hour]
        waiting = [
            other["hour"]
            for other in messages
            if other["ticket"] == row["ticket"]
            and other["hour"] <= hour
            and all(other["hour"] >= at_hour for at_hour in answered)
        ]
        found[row["id"]] = {
            "repeat_count": sum(hour - other["hour"] <= 168 for other in again),
            "repeat_count_30d": len(again),
            "repeat_count_elsewhere_30d": sum(other["ticket"] != row["ticket"] for other in again),
            "count_contacts_7d": sum(hour - 168 <= start <= hour for start in starts),
            "count_contacts_30d": sum(hour - 720 <= start <= hour for start in starts),
            "tone_slope": slope([(other["hour"] / 24, other["p_negative"]) for other in window]),
            "unanswered_hours": hour - min(waiting),
        }
    return found


def slope(points: list[tuple[float, float]]) -> float:
    middle = sum(x for x, _ in points) / len(points)
    spread = sum((x - middle) ** 2 for x, _ in points)
    return sum((x - middle) * y for x, y in points) / spread if spread > 1e-9 else 0.0


def test_random_threads_are_what_loops_make_of_them(settings: Settings) -> None:
    chance = random.Random(11)
    history, expected = History(), {}
    for number in range(12):
        me, messages, replies = f"c{number}", [], []
        history.customer(me, f"{me}@example.com")
        tickets = [f"{me}-{letter}" for letter in "abc"]
        for ticket in tickets:
            history.ticket(ticket, me, (0, "open"))
        # One of them writes more than is compared.
        count = 130 if number == 0 else chance.randrange(1, 25)
        for hour in chance.sample(range(1, 300 if number == 0 else 1500), count):
            ticket, text = chance.choice(tickets), chance.choice(TEXTS)
            confidence, is_asking = chance.choice([0.5, 0.7, 0.95]), chance.random() < 0.9
            intent = "delivery" if is_asking else "thanks"
            message_id = say(history, ticket, hour, text, confidence=confidence, intent=intent)
            messages.append(
                {"id": message_id, "ticket": ticket, "hour": hour, "text": text, "p_negative": confidence}
                | {"is_asking": is_asking}
            )
            if chance.random() < 0.3:
                replies.append((ticket, float(hour + chance.choice([0, 1, 5]))))
        for ticket, hour in set(replies):
            history.reply(ticket, hour)
        expected |= told(messages, replies)
    write(settings, history, 2000, shuffled=3)
    found = threads(settings)
    assert found.keys() == expected.keys()
    for message_id, row in expected.items():
        for name, value in row.items():
            assert found[message_id][name] == pytest.approx(value, abs=1e-9), (message_id, name)
    assert sum(row["repeat_count_elsewhere_30d"] for row in expected.values()) > 50


def test_ids_of_one_person_count_together_and_an_edit_from_its_own_time(settings: Settings) -> None:
    history = History()
    for name in ("ann", "ann-of-the-shop", "bob", "eve"):
        address = "ann@example.com" if name.startswith("ann") else f"{name}@example.com"
        history.customer(name, address, source="klaviyo" if name == "ann-of-the-shop" else "files")
        history.ticket(f"{name}-t", name, (0, "new"))
    say(history, "ann-t", 1, "Where is my parcel?")
    again = say(history, "ann-of-the-shop-t", 30, "My package still has not arrived.")
    other = say(history, "bob-t", 40, "Where is my parcel?")
    edited = say(history, "eve-t", 1, "Please cancel my subscription.")
    history.message("eve-t", 1, edited=200, message_id=edited)
    history.say("Where is my parcel?")
    later = say(history, "eve-t", 30, "My package still has not arrived.")
    for as_of, repeats in ((100, 0), (300, 1)):
        write(settings, history, as_of)
        found = threads(settings)
        assert found[again]["repeat_count_elsewhere_30d"] == 1
        assert found[other]["repeat_count_30d"] == 0
        assert found[later]["repeat_count"] == repeats


def test_the_project_compares_as_the_other_stages_take_it() -> None:
    text = (PROJECT_ROOT / "dbt_project" / "dbt_project.yml").read_text(encoding="utf-8")
    assert f"repeat_least_likeness: {concepts.LEAST_LIKENESS}\n" in text
    assert f"repeat_most_compared: {MOST_COMPARED}\n" in text
