"""Checks calls and replies against the vendors' own specifications, both ways.

The specifications stay outside the project; without them nothing here is used. Schemas are OpenAPI 3.0: they are
turned into plain JSON Schema on loading. A request is checked closed-world as well: a property or parameter that the
specification does not name is a finding, except inside objects that it leaves free-form.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roomtone.errors import RoomtoneError
from roomtone.sandbox.spec_files import load_json, load_yaml, plain_schema
from roomtone.sandbox.web import Call, Reply

FILES = {
    "klaviyo": "klaviyo-2026-07-15.openapi.json",
    "zendesk": "zendesk-support.openapi.yaml",
    "braze": "braze.openapi.yaml",
    "customerio": "customerio-track-api-openapi.json",
}

# What the specifications get wrong or leave out, as (vendor, pattern of the findings excused, why).
WAIVERS: tuple[tuple[str, str, str], ...] = (
    ("zendesk", r"parameter start_time is missing", "marked as required even where a cursor is given"),
    (
        "zendesk",
        r"parameter (per_page|page|include) is unknown",
        "documented on the vendor's pages, left out of the file",
    ),
    ("zendesk", r"parameter (start_time|score) is unknown", "documented for ratings on the vendor's pages"),
    ("zendesk", r"property /ticket/(additional_tags|remove_tags) is unknown", "documented for updates in the guides"),
    ("zendesk", r"status 4\d\d is unknown", "nearly all error replies are left out"),
    ("zendesk", r"reply /ticket_events", "the schema beside ticket_events is that of metric events"),
    ("braze", r"status 413 is unknown", "too large a request is left out; any server in front refuses it so"),
    ("customerio", r"status 429 is unknown", "told in the introduction: consistently exceeding the rate throttles"),
)
# Calls that the vendor documents elsewhere than in the file: Customer.io's App API.
BESIDE_THE_FILE = frozenset({("customerio", "/v1/customers/attributes")})
# Unset values of a reply are null at Zendesk, which its file forgets to allow nearly everywhere.
NULL_IS_ABSENT = frozenset({"zendesk"})


@dataclass
class _Operation:
    """A compiled operation: validators by status, the request's validator and schema, declared parameters."""

    request: Any | None
    request_schema: dict[str, Any] | None
    replies: dict[str, Any | None]
    parameters: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)


class SpecCheck:
    """Compiles an operation when it is first used. Raises RoomtoneError for a missing specification or validator."""

    def __init__(self, folder: Path) -> None:
        try:
            import jsonschema_rs
        except ImportError as error:
            raise RoomtoneError("--specs", "jsonschema-rs is not installed", "install the dev dependencies") from error
        self._compile = jsonschema_rs.Draft202012Validator
        self._folder = folder
        for name in FILES.values():
            if not (folder / name).is_file():
                raise RoomtoneError(
                    "--specs", f"{folder / name} is missing", "point it at the folder of the vendors' specifications"
                )
        # Reading one takes up to a second, and hardly anybody meets all vendors.
        self._documents: dict[str, dict[str, Any]] = {}
        self._paths: dict[str, dict[str, re.Pattern[str]]] = {}
        self._operations: dict[tuple[str, str, str], _Operation] = {}

    def document(self, vendor: str) -> dict[str, Any]:
        """A vendor's specification; read when it is first asked for."""
        if vendor not in self._documents:
            path = self._folder / FILES[vendor]
            self._documents[vendor] = load_json(path) if path.suffix == ".json" else load_yaml(path)
            self._paths[vendor] = {template: _pattern(template) for template in self._documents[vendor]["paths"]}
        return self._documents[vendor]

    def template_of(self, vendor: str, method: str, path: str) -> str:
        """The path template of the specification that a call is about, the most literal one; empty if there is none."""
        paths = self.document(vendor)["paths"]
        plain = path.removesuffix(".json").rstrip("/")
        found = [
            template
            for template, pattern in self._paths[vendor].items()
            if pattern.fullmatch(plain) and method.lower() in paths[template]
        ]
        return min(found, key=lambda template: template.count("{"), default="")

    @property
    def rate_limits(self) -> dict[str, tuple[int, int]]:
        """Calls a second and a minute of every Klaviyo operation, as `{"GET /api/events": (350, 3500)}`."""
        found = {}
        for path, operations in self.document("klaviyo")["paths"].items():
            for method, operation in operations.items():
                limit = operation.get("x-klaviyo-ratelimit") if isinstance(operation, dict) else None
                if limit:
                    burst, steady = (int(limit[name].split("/")[0]) for name in ("burst", "steady"))
                    found[f"{method.upper()} {path}"] = (burst, steady)
        return found

    def findings(self, vendor: str, template: str, call: Call, reply: Reply | None) -> list[dict[str, Any]]:
        """What is wrong with a call or its reply: `[{"finding": text}]`. Values never appear in it.

        `reply` is None where somebody else than the vendor answered: then the call alone is looked at.
        """
        if vendor not in FILES or (reply is not None and reply.status == 401) or (vendor, call.path) in BESIDE_THE_FILE:
            return []
        if call.method == "GET" and call.path in ("", "/"):
            # Whoever asks the bare address asks for no operation, only whether somebody is there.
            return []
        if not template:
            self.document(vendor)
            path = call.path.removesuffix(".json").rstrip("/")
            is_known = any(pattern.match(path) for pattern in self._paths[vendor].values())
            return [] if is_known else [{"finding": "the path is not in the specification"}]
        operation = self._operation(vendor, call.method.lower(), template)
        texts = [*_parameter_findings(operation, call), *self._body_findings(operation, call)]
        if reply is not None:
            body = _without_nulls(reply.body) if vendor in NULL_IS_ABSENT else reply.body
            texts += _reply_findings(operation, reply.status, body)
        return [{"finding": text} for text in dict.fromkeys(texts) if not _is_waived(vendor, text)]

    def reply_findings(self, vendor: str, method: str, template: str, status: int, body: Any) -> list[str]:
        """What is wrong with a reply alone, as the operation `method template` documents replies."""
        operation = self._operation(vendor, method.lower(), template)
        plain = _without_nulls(body) if vendor in NULL_IS_ABSENT else body
        return [text for text in _reply_findings(operation, status, plain) if not _is_waived(vendor, text)]

    def _body_findings(self, operation: _Operation, call: Call) -> Iterator[str]:
        if operation.request is None or operation.request_schema is None:
            if call.content:
                yield "a body where none is specified"
            return
        try:
            body = json.loads(call.content)
        except ValueError:
            yield "the body is not JSON"
            return
        for error in operation.request.iter_errors(body):
            yield f"request {_pointer(error.instance_path)}: {error.message}"
        for pointer in _unknown(operation.request_schema, operation.request_schema, body, ""):
            yield f"property {pointer} is unknown"

    def _operation(self, vendor: str, method: str, template: str) -> _Operation:
        key = (vendor, method, template)
        if key not in self._operations:
            self._operations[key] = self._compiled(*key)
        return self._operations[key]

    def _compiled(self, vendor: str, method: str, template: str) -> _Operation:
        path = self.document(vendor)["paths"][template]
        operation = path[method]
        body = self._resolved(vendor, operation.get("requestBody", {}))
        schema = self._rooted(vendor, _content_schema(body))
        replies = {}
        for status, reply in operation["responses"].items():
            found = self._rooted(vendor, _content_schema(self._resolved(vendor, reply)))
            replies[str(status)] = self._validator(found)
        declared = [self._resolved(vendor, p) for p in path.get("parameters", []) + operation.get("parameters", [])]
        parameters = {
            (p["name"], p["in"]): p | {"schema": self._resolved(vendor, p.get("schema", {}))} for p in declared
        }
        return _Operation(self._validator(schema), schema, replies, parameters)

    def _rooted(self, vendor: str, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        """A schema that stands on its own: with the components that it leads to, and no others, beside it."""
        if schema is None:
            return None
        everything = self.document(vendor)["components"]["schemas"]
        reached: dict[str, Any] = {}
        waiting = list(_references(schema))
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached[name] = plain_schema(everything[name])
                waiting += _references(everything[name])
        return {"allOf": [plain_schema(schema)], "components": {"schemas": reached}}

    def _validator(self, schema: dict[str, Any] | None) -> Any | None:
        return None if schema is None else self._compile(schema, validate_formats=True, mask="a value")

    def _resolved(self, vendor: str, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            found: Any = self.document(vendor)
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            node = found
        return node


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(part) for name, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_without_nulls(part) for part in value]
    return value


def _reply_findings(operation: _Operation, code: int, body: Any) -> Iterator[str]:
    status = str(code)
    for key in (status, f"{status[0]}XX", "default"):
        if key in operation.replies:
            break
    else:
        yield f"status {status} is unknown"
        return
    validator = operation.replies[key]
    if validator is None or body is None:
        return
    for error in validator.iter_errors(body):
        yield f"reply {_pointer(error.instance_path)}: {error.message}"


def _parameter_findings(operation: _Operation, call: Call) -> Iterator[str]:
    given = call.params
    declared = {name: p for (name, where), p in operation.parameters.items() if where == "query"}
    for name in given:
        if name not in declared:
            yield f"parameter {name} is unknown"
    for (name, where), parameter in operation.parameters.items():
        if parameter.get("required") and where != "path" and name not in (given if where == "query" else call.headers):
            yield f"parameter {name} is missing"
    for name, parameter in declared.items():
        if name in given:
            yield from _value_findings(name, given[name], parameter["schema"])


def _value_findings(name: str, text: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """Enumerations, whole numbers and their bounds; lists are comma separated."""
    kind = schema.get("type")
    if kind == "array":
        allowed = schema.get("items", {}).get("enum")
        if allowed and not set(text.split(",")) <= set(allowed):
            yield f"parameter {name} has a value that is not listed"
    elif kind == "integer":
        if not re.fullmatch(r"-?\d+", text):
            yield f"parameter {name} is not a whole number"
        elif not schema.get("minimum", int(text)) <= int(text) <= schema.get("maximum", int(text)):
            yield f"parameter {name} is out of bounds"
    elif "enum" in schema and text not in schema["enum"]:
        yield f"parameter {name} has a value that is not listed"


def _unknown(root: dict[str, Any], schema: dict[str, Any], value: Any, pointer: str) -> Iterator[str]:
    """Pointers of properties that no branch of the schema names. Objects without named properties are free-form."""
    branches = list(_branches(root, schema))
    if isinstance(value, list):
        items = [branch["items"] for branch in branches if isinstance(branch.get("items"), dict)]
        if items:
            for item in value:
                yield from _unknown(root, {"anyOf": items}, item, f"{pointer}/*")
    elif isinstance(value, dict):
        named: dict[str, list[dict[str, Any]]] = {}
        for branch in branches:
            for name, part in branch.get("properties", {}).items():
                named.setdefault(name, []).append(part)
        if not named or any(branch.get("additionalProperties", False) is not False for branch in branches):
            return
        for name, item in value.items():
            if name not in named:
                yield f"{pointer}/{name}"
            else:
                yield from _unknown(root, {"anyOf": named[name]}, item, f"{pointer}/{name}")


def _branches(root: dict[str, Any], schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schema and all that it is put together from, references followed."""
    if "$ref" in schema:
        found: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        yield from _branches(root, found)
    yield schema
    for word in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(word, []):
            yield from _branches(root, part)


def _references(node: Any) -> Iterator[str]:
    """Names of the components that a schema refers to."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rsplit("/", 1)[1]
        for part in node.values():
            yield from _references(part)
    elif isinstance(node, list):
        for part in node:
            yield from _references(part)


def _content_schema(node: Mapping[str, Any]) -> dict[str, Any] | None:
    for content in node.get("content", {}).values():
        schema: dict[str, Any] | None = content.get("schema")
        return schema
    return None


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{\w+\\}", r"[^/]+", re.escape(template)) + "$")


def _pointer(path: Any) -> str:
    """Where in a body, with `*` for any place in a list: one finding for a fault that all rows share."""
    return "/" + "/".join("*" if isinstance(part, int) else part for part in path)


def _is_waived(vendor: str, text: str) -> bool:
    return any(vendor == of and re.match(find, text) for of, find, _ in WAIVERS)
