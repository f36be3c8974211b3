"""Identity, states and routing of the whole brand, in one build."""

import itertools

import pytest

from roomtone.settings import Settings, load_settings
from transform.histories import SCOPES, History, Row, at, build, query, write

AS_OF = 1000.0
QUEUES = [
    ("escalations", 2, "high", None, "urgent"),
    ("escalations", 2, None, None, "high"),
    ("returns", 0, None, "refund,return", "normal"),
    ("support", 0, None, None, "normal"),
]


def happened() -> History:
    history = History()
    history.policy("upset", {"sentiment": "negative", "min_confidence": 0.8}, SCOPES)
    history.policy("mild", {"sentiment": "negative", "min_confidence": 0.6}, ("discount",), tier=1, cool_off_hours=48.0)
    history.tables["routing_policies"].append(
        {"policy_id": "routing", "policy_version": 1, "tier_weight": 45.0, "urgency_weight": 25.0, "value_weight": 10.0}
        | {
            "waiting_weight": 20.0,
            "value_cap": 1000.0,
            "risk_cap": 0.1,
            "waiting_cap_hours": 24.0,
            "calm_max_wait_hours": 24.0,
        }
        | {f"sla_hours_tier_{tier}": hours for tier, hours in enumerate((24.0, 12.0, 4.0, 1.0))}
    )
    names = ("queue", "min_tier", "urgency", "intents", "priority")
    history.tables["routing_queues"] += [
        dict(zip(names, row, strict=True)) | {"policy_id": "routing", "policy_version": 1, "position": position}
        for position, row in enumerate(QUEUES, 1)
    ]
    history.risk("file-1", 9, 0.3)
    history.risk("shop-1", 20, 0.05, "risk-trees-1")
    history.customer("file-1", "Maya@Example.com ", hour=5)
    history.customer("shop-1", "maya@example.com", hour=1, source="shop")
    history.customer("klaviyo-1", "maya@example.com", hour=2, source="klaviyo", email_marketing_consent=False)
    history.customer("shop-2", "support@example.com", source="shop")
    history.customer("zendesk-2", "support@example.com", source="zendesk")
    history.customer("zendesk-3", source="zendesk")
    history.order("order-1", "shop-1", 3, total=500)
    history.order("order-2", "klaviyo-1", 4, total=300, refunded=100)
    # The merged customer writes as a shop customer: negative and urgent.
    history.ticket("urgent", "shop-1", (990, "new"), assignee_id="a")
    history.ticket("urgent", "shop-1", (991, "open"), assignee_id="b", created=990)
    history.message("urgent", 990, urgency="high", urgency_score=0.9)
    history.ticket("waiting", "zendesk-3", (960, "new"))
    history.message("waiting", 960, "neutral")
    history.ticket("return", "shop-2", (999, "new"))
    history.message("return", 999, "neutral", intent="refund")
    # Upset from 100 on, mild until 148 + 20, then recovering, calm a week after the worst was over.
    history.ticket("past", "zendesk-2", (100, "new"), (120, "solved"), (121, "closed"))
    history.message("past", 100)
    history.reply("past", 101.5)
    history.ticket("reopened", "unknown", (200, "new"), (210, "solved"), (220, "open"), (230, "solved"))
    history.message("reopened", 200, "neutral")
    return history


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = load_settings({"ROOMTONE_HOME": str(tmp_path_factory.mktemp("brand"))})
    write(settings, happened(), AS_OF)
    build(settings)
    return settings


@pytest.fixture(scope="module")
def tickets(built: Settings) -> dict[str, Row]:
    return {row["ticket_id"]: row for row in query(built, "select * from marts.fct_tickets")}


def test_one_customer_across_sources_and_a_rule_for_each_link(built: Settings) -> None:
    rows = query(built, "select source_customer_id, customer_id, link_rule from intermediate.int_customer_identities")
    links = query(built, "select source_customer_id, customer_id, link_rule from marts.dim_customer_links")
    assert sorted(map(repr, links)) == sorted(map(repr, rows))
    assert {row["source_customer_id"]: (row["customer_id"], row["link_rule"]) for row in rows} == {
        "file-1": ("file-1", "own_record"),
        "shop-1": ("file-1", "same_email_address"),
        "klaviyo-1": ("file-1", "same_email_address"),
        "shop-2": ("shop-2", "role_address"),
        "zendesk-2": ("zendesk-2", "role_address"),
        "zendesk-3": ("zendesk-3", "no_address"),
        "unknown": ("unknown", "unrecorded"),
    }


def test_a_merged_customer_adds_up(built: Settings) -> None:
    (maya,) = query(built, "select * from marts.dim_customers where customer_id = 'file-1'")
    assert (maya["orders_count"], maya["lifetime_value"], maya["first_seen_at"]) == (2, 700.0, at(1))
    assert (maya["churn_risk"], maya["risk_version"], maya["risk_weighed_at"]) == (0.05, "risk-trees-1", at(20))
    assert maya["value_at_risk"] == pytest.approx(35)
    assert maya["has_email_consent"] is False, "consent is what the marketing platform says"


def test_states_follow_one_another(built: Settings) -> None:
    rows = query(built, "select * from marts.fct_customer_state_changes order by customer_id, valid_from")
    past = [
        (row["state"], row["tier"], row["valid_from"], row["valid_to"])
        for row in rows
        if row["customer_id"] == "zendesk-2"
    ]
    assert past == [
        ("calm", 0, at(0), at(100)),
        ("negative", 2, at(100), at(144)),
        ("mild", 1, at(144), at(168)),
        ("recovering", 0, at(168), at(144 + 168)),
        ("calm", 0, at(144 + 168), None),
    ]
    for earlier, later in itertools.pairwise(rows):
        if earlier["customer_id"] == later["customer_id"]:
            assert earlier["valid_to"] == later["valid_from"]
            assert earlier["state"] != later["state"]
    now = {row["customer_id"]: row for row in query(built, "select * from marts.dim_customer_states")}
    assert (now["file-1"]["state"], now["file-1"]["since_at"], now["file-1"]["reasons"]) == (
        "negative",
        at(990),
        "mild,upset",
    )
    assert set(now) == {row["customer_id"] for row in query(built, "select customer_id from marts.dim_customers")}


def test_routing_takes_the_first_queue_that_fits(built: Settings, tickets: dict[str, Row]) -> None:
    assert {name: (row["queue"], row["priority"]) for name, row in tickets.items() if row["is_live"]} == {
        "urgent": ("escalations", "urgent"),
        "return": ("returns", "normal"),
        "waiting": ("support", "high"),
    }
    routed = {row["ticket_id"]: row["tags"] for row in query(built, "select * from activations.sync_ticket_routing")}
    assert routed == {
        "urgent": "roomtone_negative_sentiment,roomtone_tier_2,roomtone_urgency_high",
        "return": "roomtone_tier_0",
        "waiting": "roomtone_tier_0,roomtone_waited_long",
    }


def test_a_calm_customers_wait_is_bounded(tickets: dict[str, Row]) -> None:
    assert tickets["waiting"]["has_waited_too_long"]
    assert tickets["waiting"]["priority_score"] == 100
    assert tickets["urgent"]["priority_score"] == pytest.approx(45 * 2 / 3 + 25 * 0.9 + 10 * 0.7 * 0.5 + 20 * 10 / 24)


def test_the_agents_load_is_that_of_their_live_tickets(built: Settings) -> None:
    rows = query(built, "select * from marts.rpt_agent_load")
    assert [(row["agent_id"], row["live_tickets"], row["emotional_load"]) for row in rows] == [("b", 1, 3.0)]


def test_ticket_times_and_counts(tickets: dict[str, Row]) -> None:
    assert (tickets["past"]["first_reply_time_minutes"], tickets["past"]["final_resolution_minutes"]) == (90, 20 * 60)
    assert (tickets["past"]["tier"], tickets["past"]["current_tier"]) == (2, 0)
    assert tickets["past"]["sla_due_at"] == at(104)
    assert (tickets["reopened"]["count_reopens"], tickets["reopened"]["final_resolution_minutes"]) == (1, 30 * 60)
    assert tickets["urgent"]["count_reassignments"] == 1
    assert tickets["urgent"]["final_resolution_minutes"] is None
