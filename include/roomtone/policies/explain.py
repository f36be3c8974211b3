"""Renders the policies in plain English: what each rule does, an example, why, and how to change it."""

import json
from collections.abc import Mapping
from pathlib import Path

from roomtone.policies.rules import Rule
from roomtone.policies.schema import Policies, json_schemas, load_policies
from roomtone.policies.sentences import example, what
from roomtone.policies.suppression import MAX_DAYS
from roomtone.settings import PROJECT_ROOT

_PREAMBLE = """\
This page is generated from the policy files by `roomtone policies docs`; change those, not this page.

All times are UTC, and all examples begin on the same Monday. A customer is quiet in a scope as long as a rule says so;
a deleted ticket and a person's release end a pause at once. The first version of a rule applies to all history, a later
one from its publication on: what was decided before keeps the version that it was decided by."""

_INTRODUCTIONS: Mapping[str, str] = {
    "suppression": "## Suppression: who is kept quiet, and until when",
    "recovery": "## Recovery: what is owed, once",
    "routing": "## Routing: who is answered first",
    "guardrails": "## Guardrails: what one run may do at most",
}

# What turning a number up does; turning it down does the opposite.
_EFFECTS: Mapping[str, str] = {
    "start.min_confidence": "higher pauses fewer people and misses more who are upset",
    "start.days": "higher starts later and for fewer people",
    "start.count": "higher starts for fewer people",
    "relief.min_confidence": "higher lets fewer pauses end early",
    "relief.after_hours": "higher waits longer before it believes the relief",
    "end.cool_off_hours": "higher keeps people quiet for longer after the matter is settled",
    "end.max_days": f"higher keeps a forgotten pause for longer; never more than {MAX_DAYS}",
    "trigger.min_tier": "higher owes it to fewer people",
    "wait_hours": "higher sends it later",
    "expires_after_hours": "higher lets it be sent later",
    "cooldown_days": "higher gives it to the same person less often",
    "budget.per_customer": "higher gives it to the same person more often",
    "budget.per_day": "higher spends more",
    "budget.per_month": "higher spends more",
    "offer_value": "higher makes simulations say that the offers cost more; it changes no decision",
    "weights.tier": "higher lets the mood decide more of the order",
    "weights.urgency": "higher lets deadlines decide more of the order",
    "weights.value": "higher lets money decide more of the order",
    "weights.waiting": "higher brings the order closer to first come, first served",
    "caps.value": "higher tells rich customers apart further up",
    "caps.risk": "higher keeps value for customers who are nearer to leaving",
    "caps.waiting_hours": "higher lets waiting count more slowly",
    "calm_max_wait_hours": "higher lets calm customers wait longer",
    "sla_hours.calm": "higher promises calm customers less",
    "sla_hours.mild": "higher promises mildly annoyed customers less",
    "sla_hours.negative": "higher promises upset customers less",
    "sla_hours.severe": "higher promises severe cases less",
    "max_share": "higher lets a larger change through without a person",
    "floor_customers": "higher never holds changes up to that size",
    "median_multiple": "higher takes a larger jump above the usual for an ordinary day",
    "max_per_day": "higher spends more",
    "max_age_minutes": "higher acts on older data",
}


def render(policies: Policies) -> str:
    """All rules as one Markdown page, in the order of the files."""
    parts = ["# Policies", _PREAMBLE]
    for family, rules in policies.families.items():
        parts.append(_INTRODUCTIONS[family])
        parts += [render_rule(family, rule) for rule in rules]
        if not rules:
            parts.append("No rules.")
    return "\n\n".join(parts) + "\n"


def render_rule(family: str, rule: Rule) -> str:
    """One rule under its four headings."""
    return "\n\n".join(
        [
            f"### {rule.id}\n\nVersion {rule.version}, owned by: {rule.owner}.",
            f"#### What\n\n{what(rule)}",
            f"#### Example\n\n{example(rule)}",
            f"#### Why\n\n{_reasons(rule)}",
            f"#### How to change\n\n{_changes(family, rule)}",
        ]
    )


def write_docs(root: Path = PROJECT_ROOT) -> list[Path]:
    """Write docs/policies.md and the editors' JSON Schema of the shipped policies; returns the files' paths."""
    written = []
    for path, text in generated(load_policies(root / "include" / "policies")).items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        written.append(target)
    return written


def generated(policies: Policies) -> dict[str, str]:
    """The text of each generated file by its path below the project."""
    files = {"docs/policies.md": render(policies)}
    for family, schema in json_schemas().items():
        files[f"include/policies/schema/{family}.json"] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return files


def _reasons(rule: Rule) -> str:
    lines = [f"{_sentence(rule.why)}"]
    reasons = [
        f"- `{key}: {_shown(value)}`: {rule.whys.get(key, 'no reason is written down yet')}"
        for key, value in rule.arguable.items()
    ]
    reasons += [f"- `{key}`: {reason}" for key, reason in rule.whys.items() if key not in rule.arguable]
    queues = getattr(rule, "queues", ())
    reasons += [f"- queue {position}, {queue.queue}: {queue.why}" for position, queue in enumerate(queues, start=1)]
    if reasons:
        lines.append("\n".join(reasons))
    if rule.evidence:
        lines.append(f"Measured: {_sentence(rule.evidence)}")
    return "\n\n".join(lines)


def _changes(family: str, rule: Rule) -> str:
    text = (
        f"Edit the rule in `{family}.yml`, set `version: {rule.version + 1}`, run `roomtone policies check` and then"
        " `roomtone policies publish` (every run publishes as well)."
    )
    effects = [f"- `{key}`: {_EFFECTS[key]}" for key in rule.arguable if key in _EFFECTS]
    return "\n\n".join([text, "\n".join(effects)] if effects else [text])


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _shown(value: float) -> str:
    return f"{value:g}"
