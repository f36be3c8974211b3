"""The plan: desired minus acknowledged, null-safe, with ids that a second planning gives again."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from roomtone.stores.operational import Pass
from roomtone.sync.desired import PROFILE_PROPERTIES, RECOVERY_EVENT, DesiredRow, fingerprint
from roomtone.sync.plan import Latest, Plan, plan_events, plan_states

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
FIRST = Pass(1, NOW)


def row(subject: str, **payload: Any) -> DesiredRow:
    return DesiredRow(PROFILE_PROPERTIES, subject, payload, subject, f"{subject}@example.com")


def plan(
    rows: list[DesiredRow],
    acknowledged: Mapping[str, str] | None = None,
    latest: Mapping[str, Latest] | None = None,
    current: Pass = FIRST,
    now: datetime = NOW,
) -> Plan:
    vendor_ids = {r.subject_id: f"P{r.subject_id}" for r in rows}
    known = acknowledged or {}
    return plan_states(
        "klaviyo", current, rows, acknowledged=known, latest=latest or {}, vendor_ids=vendor_ids, now=now
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=5))
def test_a_fingerprint_depends_on_the_content_and_not_on_the_order(payload: dict[str, Any]) -> None:
    turned = dict(reversed(payload.items()))
    assert fingerprint(payload) == fingerprint(turned)
    assert fingerprint(payload | {"new": None}) != fingerprint({k: v for k, v in payload.items() if k != "new"})


def test_null_false_zero_and_absent_are_four_states() -> None:
    states: list[dict[str, Any]] = [{"p": None}, {"p": False}, {"p": 0}, {}]
    assert len({fingerprint(state) for state in states}) == 4


def test_only_what_differs_is_planned() -> None:
    same, other, new = row("a", p=True), row("b", p=True), row("c", p=True)
    acknowledged = {"a": same.fingerprint, "b": row("b", p=False).fingerprint}
    planned = plan([same, other, new], acknowledged)
    assert [intent.subject_id for intent in planned.intents] == ["b", "c"]
    assert planned.unchanged == 1
    assert planned.intents[0].vendor_id == "Pb"


def test_planning_a_pass_twice_gives_the_same_ids_and_another_pass_others() -> None:
    once, twice = plan([row("a", p=True)]), plan([row("a", p=True)])
    later = plan([row("a", p=True)], current=Pass(2, NOW))
    assert once == twice
    assert once.intents[0].intent_id != later.intents[0].intent_id


def test_there_and_back_again_have_three_ids() -> None:
    a, b = row("x", p=1), row("x", p=2)
    steps = [({}, a), ({"x": a.fingerprint}, b), ({"x": b.fingerprint}, a), ({"x": a.fingerprint}, b)]
    ids = {plan([r], known, current=Pass(n, NOW)).intents[0].intent_id for n, (known, r) in enumerate(steps)}
    assert len(ids) == 4


def test_an_open_intent_for_the_same_state_is_left_to_finish() -> None:
    wanted = row("a", p=True)
    planned = plan([wanted], latest={"a": Latest("i1", wanted.fingerprint, "pending")})
    assert (planned.intents, planned.unfinished) == ((), 1)


def test_a_return_to_the_acknowledged_state_withdraws_what_was_never_sent() -> None:
    wanted = row("a", p=False)
    other = row("a", p=True).fingerprint
    never_sent = plan([wanted], {"a": wanted.fingerprint}, {"a": Latest("i1", other, "pending", attempts=0)})
    assert (never_sent.intents, never_sent.withdrawn) == ((), ("i1",))
    perhaps_sent = plan([wanted], {"a": wanted.fingerprint}, {"a": Latest("i1", other, "pending", attempts=1)})
    assert [intent.fingerprint for intent in perhaps_sent.intents] == [wanted.fingerprint]
    assert perhaps_sent.withdrawn == ()


def test_a_refused_row_waits_unless_it_changes() -> None:
    wanted, changed = row("a", p=True), row("a", p=False)
    latest = {"a": Latest("i1", wanted.fingerprint, "rejected", 1, NOW)}
    assert plan([wanted], latest=latest).refused == 1
    assert len(plan([changed], latest=latest).intents) == 1
    assert len(plan([wanted], latest=latest, now=NOW + timedelta(hours=2)).intents) == 1


def test_the_wait_after_a_refusal_grows_with_refusals_and_not_with_tries_that_crashed() -> None:
    wanted = row("a", p=True)

    def is_planned(minutes: float, refusals: int) -> bool:
        latest = {"a": Latest("i1", wanted.fingerprint, "rejected", attempts=8, done_at=NOW, refusals=refusals)}
        return len(plan([wanted], latest=latest, now=NOW + timedelta(minutes=minutes)).intents) == 1

    assert [is_planned(minutes, 1) for minutes in (0.9, 1)] == [False, True]
    assert [is_planned(minutes, 3) for minutes in (3.9, 4)] == [False, True]
    assert [is_planned(minutes, 20) for minutes in (59, 60)] == [False, True]


def test_a_trigger_has_one_intent_per_destination_for_ever() -> None:
    event = DesiredRow(RECOVERY_EVENT, "t1", {"kind": "apology"}, "a", None, expires_at=NOW)
    first = plan_events("klaviyo", FIRST, [event], {}, {"t1": "P1"})
    [intent] = first.intents
    assert intent.intent_id == "klaviyo:t1"
    assert plan_events("other", FIRST, [event], {}, {"t1": "P1"}).intents[0].intent_id == "other:t1"
    for status in ("pending", "sending", "sent", "done", "rejected", "expired", "superseded"):
        again = plan_events(
            "klaviyo", Pass(2, NOW), [event], {"t1": Latest("klaviyo:t1", "other", status)}, {"t1": "P2"}
        )
        assert again.intents == ()
