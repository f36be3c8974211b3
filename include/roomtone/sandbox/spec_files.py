"""Reads the vendors' specification files, and turns OpenAPI 3.0 schemas into plain JSON Schema."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
# Words of OpenAPI that JSON Schema does not know or that say nothing about validity.
_DROPPED = frozenset(
    {"example", "examples", "description", "externalDocs", "xml", "discriminator", "readOnly", "writeOnly"}
)


def load_json(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML file with dates kept as text, a bare `=` kept as text, and control characters taken out."""
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = type("SpecLoader", (base,), {})
    unwanted = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"}
    resolvers_kept = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in unwanted]
        for first, resolvers in base.yaml_implicit_resolvers.items()
    }
    loader.yaml_implicit_resolvers = resolvers_kept  # type: ignore[attr-defined]
    text = _CONTROL.sub("", path.read_text(encoding="utf-8"))
    document: dict[str, Any] = yaml.load(text, loader)  # noqa: S506 - derived from the safe loader
    return document


def plain_schema(node: Any, *, is_map: bool = False) -> Any:
    """An OpenAPI 3.0 schema as JSON Schema. `is_map`: the keys are names (of properties), not words of the language.

    `nullable` becomes a choice with null, also beside a reference or without a type. `oneOf` becomes `anyOf`: several
    of Klaviyo's choices overlap (three identical `send_options`), so that `oneOf` fails for every valid value.
    """
    if isinstance(node, list):
        return [plain_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    if is_map:
        return {name: plain_schema(part) for name, part in node.items()}
    plain: dict[str, Any] = {}
    for word, part in node.items():
        if word == "properties":
            plain[word] = plain_schema(part, is_map=True)
        elif word == "oneOf":
            plain.setdefault("anyOf", []).extend(plain_schema(part))
        elif word in {"enum", "required", "default"}:
            plain[word] = part
        elif word not in _DROPPED and word != "nullable" and not word.startswith("x-"):
            plain[word] = plain_schema(part)
    if node.get("nullable"):
        return {"anyOf": [plain, {"type": "null"}]}
    return plain
