"""How to break each rule, and nothing but it: SQL statements against the warehouse made by hand."""

from collections.abc import Sequence

from roomtone.contract import STREAMS
from roomtone.transform.keys import KEYS
from roomtone.validate.rules import RowRule, Suite

_LATER = "timestamp '2026-03-02 12:30:00'"
_PASS = "timestamp '2026-03-02 12:00:00'"


def breakages(suite: Suite, rule: RowRule) -> Sequence[Sequence[str]]:  # noqa: PLR0911 - one answer for each kind
    """Ways to break a row rule, each a list of statements; they follow from what the rule expects."""
    table, column = suite.table, rule.columns[0]
    kind = rule.expectation
    if rule.blame:
        return [[f'update {table} set "{column}" = null'] for column in rule.columns]
    if kind in {"ExpectColumnValuesToBeUnique", "ExpectCompoundColumnsToBeUnique"}:
        return [[f"insert into {table} select * from {table} limit 1"]]
    if kind == "ExpectColumnValuesToBeInSet":
        return [[f"update {table} set \"{column}\" = 'unheard-of'"]]
    if kind == "ExpectColumnPairValuesAToBeGreaterThanB":
        first, second = rule.columns
        return [
            [f'update {table} set "{second}" = "{first}"'],
            [f'update {table} set "{second}" = "{first}" - interval 1 second'],
        ]
    if len(rule.columns) == 3:
        return [
            [f'update {table} set "{column}" = "{column}" + 0.00001'],
            [f"update {table} set \"{column}\" = 'nan'::double"],
            [f"update {table} set \"{column}\" = 'inf'::double"],
        ]
    low = [f'update {table} set "{column}" = -1']
    high = [f'update {table} set "{column}" = {int(rule.arguments["max_value"]) + 1}']
    if rule.arguments["max_value"] > 1e6:
        return [low, [f"update {table} set \"{column}\" = 'inf'::double"]] if column == "lifetime_value" else [low]
    floats = column in {"confidence", "churn_risk", "urgency_score"} or column.startswith("p_")
    return [low, high, *([[f"update {table} set \"{column}\" = 'nan'::double"]] if floats else [])]


def _insert_like(table: str, **changed: str) -> str:
    replaced = ", ".join(f'{value} as "{column}"' for column, value in changed.items())
    return f"insert into {table} select * replace ({replaced}) from {table} limit 1"


_CAUSES, _PAUSES = "marts.fct_suppression_causes", "marts.fct_suppressions"
_PROFILES, _SEGMENT = "activations.sync_profile_properties", "activations.sync_suppression_segment"
_EVENTS = "activations.sync_recovery_events"

_EMPTY = (
    "marts.dim_customers",
    "marts.dim_customer_states",
    "marts.fct_customer_state_changes",
    "marts.fct_message_scores",
    "marts.fct_tickets",
    _PAUSES,
)

MEASURES: dict[tuple[str, str], list[str]] = {
    ("raw.current_pass", "rows that are not this pass"): [
        "update raw.current_pass set pass_sequence = pass_sequence + 1"
    ],
    ("raw.current_pass", "rows too few or too many (exactly one)"): ["delete from raw.current_pass"],
    ("raw.suppression_policies", "no rule in force"): [f"update raw.suppression_policies set applies_to = {_PASS}"],
    ("raw.routing_policies", "no rule in force"): [f"update raw.routing_policies set applies_from = {_LATER}"],
    ("raw.loads", "extract runs whose counts do not add up"): [
        "update new_extract_runs set count_read = count_read + 1"
    ],
    ("raw.loads", "share of records quarantined"): [
        "update new_extract_runs set count_quarantined = 1, count_duplicate = count_duplicate - 1"
    ],
    ("raw.loads", "loads with fewer records than had landed"): ["delete from new_customers"],
    ("raw.message_scores", "share of new customer messages without a score"): ["delete from raw.message_scores"],
    ("raw.message_concepts", "new customer messages without their concepts"): ["delete from raw.message_concepts"],
    (_CAUSES, "causes planned to end later than 30 days after their latest evidence"): [
        f"update {_CAUSES} set planned_end_at = latest_evidence_at + interval 30 day + interval 1 second"
    ],
    (_CAUSES, "causes that pause an unknown scope"): [f"update {_CAUSES} set scopes = 'sales,newsletter'"],
    (_CAUSES, "causes whose rule and version were never published"): [f"update {_CAUSES} set policy_version = 2"],
    (_CAUSES, "severe causes that rest on a score alone"): [f"update {_CAUSES} set tier = 3"],
    (_PAUSES, "suppressions without a cause"): [f"update {_PAUSES} set cause_ids = ''"],
    (_PAUSES, "cause_ids that are not in marts.fct_suppression_causes"): [
        f"update {_PAUSES} set cause_ids = 'cause-0,cause-1'"
    ],
    (_PAUSES, "override_ids that are not in raw.overrides"): [f"update {_PAUSES} set override_ids = 'override-0'"],
    (_PAUSES, "active suppressions whose planned end has passed"): [f"update {_PAUSES} set planned_end_at = {_PASS}"],
    (_PAUSES, "active suppressions without a decision to pause"): [
        "update marts.fct_decisions set cause_id = 'cause-1'"
    ],
    (_PAUSES, "intervals that overlap per customer_id and scope"): [
        _insert_like(_PAUSES, valid_from="valid_from + interval 1 second", valid_to="valid_from + interval 2 second")
    ],
    ("marts.fct_customer_state_changes", "intervals that overlap per customer_id"): [
        _insert_like("marts.fct_customer_state_changes", valid_from="valid_from + interval 1 second")
    ],
    (_SEGMENT, "rows that differ from the active suppressions"): [f"delete from {_SEGMENT} where scope = 'sales'"],
    (_SEGMENT, "pauses that are over already"): [f"update {_SEGMENT} set until_at = {_PASS}"],
    (_PROFILES, "paused profiles without an end in the future"): [
        f"update {_PROFILES} set roomtone_pause_until = null"
    ],
    (_PROFILES, "pause properties that differ from the segment"): [
        f"update {_PROFILES} set roomtone_pause_sales = false"
    ],
    (_PROFILES, "e-mail addresses that several profiles share"): [
        _insert_like(_PROFILES, customer_id="'customer-1'", email="'0@Example.org '")
    ],
    ("activations.sync_ticket_routing", "tickets that are not live"): ["update marts.fct_tickets set is_live = false"],
    ("activations.sync_ticket_routing", "live tickets that are left out"): [
        "delete from activations.sync_ticket_routing"
    ],
    (_EVENTS, "events outside their time"): [f"update {_EVENTS} set expires_at = {_PASS}"],
    (_EVENTS, "events that are not a due trigger"): ["update marts.fct_recovery_triggers set status = 'held_out'"],
    (_EVENTS, "payloads that are not JSON"): [f"update {_EVENTS} set payload = '{{'"],
    (_EVENTS, "marketing events for customers without consent"): [
        f"update {_EVENTS} set message_class = 'marketing'",
        "update marts.dim_customers set has_email_consent = false",
    ],
}

for _stream in STREAMS:
    MEASURES |= {
        (f"raw.{_stream}", "records received in the future"): [
            f"update new_{_stream} set received_at = timestamp '2999-01-01'"
        ],
        (f"raw.{_stream}", "records dated before 2000"): [
            f"update new_{_stream} set version_at = timestamp '1970-01-01'"
        ],
        (f"raw.{_stream}", "records dated after this pass"): [f"update new_{_stream} set version_at = {_LATER}"],
    }
for _stream in KEYS.keys() & STREAMS.keys():
    MEASURES[f"raw.{_stream}", "ids of which two records of one instant disagree"] = [
        _insert_like(f"raw.{_stream}", record_hash="'another'"),
        (
            f"insert into keys.{_stream} select * replace ((select max(rowid) from raw.{_stream}) as place)"
            f" from keys.{_stream} limit 1"
        ),
    ]
MEASURES["raw.tickets", "tickets merged into themselves, in a ring, or into one that is not there"] = [
    "update raw.tickets set merged_into = id",
    "update new_tickets set merged_into = id",
]
for _stream, _key, _target in (
    ("tickets", "customer_id", "customers"),
    ("messages", "ticket_id", "tickets"),
    ("satisfaction_ratings", "ticket_id", "tickets"),
    ("orders", "customer_id", "customers"),
    ("shipments", "order_id", "orders"),
    ("marketing_events", "campaign_id", "campaigns"),
):
    MEASURES[f"raw.{_stream}", f"records whose {_key} is not in {_target}"] = [
        f"update new_{_stream} set {_key} = 'nobody'"
    ]


def empty_mart(table: str) -> list[str]:
    """An emptied mart: what a bad join leaves behind."""
    return [f"delete from {table}"]
