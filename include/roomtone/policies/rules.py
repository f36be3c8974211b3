"""What every policy rule has in common: strict keys, an id, a version, an owner, and a reason at every number."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

PolicyId = Annotated[str, Field(strict=True, pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
Sentence = Annotated[str, Field(strict=True, min_length=3, max_length=400, pattern=r"^\S[^\n\r]*$")]
Hours = Annotated[float, Field(strict=True, ge=0, le=720, allow_inf_nan=False)]
Days = Annotated[float, Field(strict=True, gt=0, le=365, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)]
Weight = Annotated[float, Field(strict=True, ge=0, le=1000, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]


class Strict(BaseModel):
    """A mapping of a policy file. A key that it does not know is refused together with the nearest one that it does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Keys of sibling shapes (another kind of start, say): never valid here, but perhaps what was meant.
    related_keys: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for key in data:
                if key not in cls.model_fields:
                    related = [name for name in cls.related_keys if name != key]
                    raise unknown_key(str(key), (*cls.model_fields, *related))
        return data


class Rule(Strict):
    """One rule of a policy file.

    `why` answers for the rule, `whys` for its numbers by key (`end.max_days`); `evidence` names what was measured.
    """

    id: PolicyId
    version: Annotated[int, Field(strict=True, ge=1, le=100_000)]
    owner: Sentence
    why: Sentence
    whys: dict[str, Sentence] = {}
    evidence: Sentence | None = None

    @model_validator(mode="after")
    def _whys_name_keys(self) -> "Rule":
        keys = dict(leaves(self))
        for key in self.whys:
            if key not in keys:
                raise unknown_key(f"whys.{key}", [f"whys.{known}" for known in keys])
        return self

    @property
    def is_enabled(self) -> bool:
        """A rule that is not enabled keeps its place and its version in the file, and decides nothing."""
        return bool(getattr(self, "enabled", True))

    @property
    def arguable(self) -> dict[str, float]:
        """The rule's numbers by key: those that a person could argue with, so neither its version nor its tier."""
        return {
            key: value
            for key, value in leaves(self)
            if isinstance(value, int | float) and not isinstance(value, bool) and key != "tier"
        }


_NOT_ARGUABLE = frozenset({"id", "version", "owner", "why", "whys", "evidence"})


def leaves(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of everything that a rule sets. A list is one value: its rows carry a why of their own."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if value is None or (not prefix and name in _NOT_ARGUABLE):
            continue
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def missing_whys(rules: Iterable[Rule]) -> list[str]:
    """`rule: key` of every number that has no reason of its own yet."""
    return [f"{rule.id}: {key}" for rule in rules for key in rule.arguable if key not in rule.whys]


def unknown_key(key: str, known: Iterable[str]) -> PydanticCustomError:
    """The refusal of a key that does not exist, with the one that was probably meant."""
    return PydanticCustomError(
        "unknown_key", "is not a key here; {advice}", {"key": key, "advice": nearest(key.rpartition(".")[2], known)}
    )


def refused(key: str, value: object, advice: str) -> PydanticCustomError:
    """The refusal of a value that is well formed and makes no sense beside the rest of its rule."""
    return PydanticCustomError("refused", "{advice}", {"key": key, "value": str(value), "advice": advice})


def nearest(word: str, known: Iterable[str]) -> str:
    """Advice for a misspelt word: the nearest known one, or all of them."""
    by_end = {name.rpartition(".")[2]: name for name in known}
    found = difflib.get_close_matches(word, by_end, n=1, cutoff=0.6)
    return f"did you mean {by_end[found[0]]}?" if found else f"choose from {', '.join(by_end.values())}"
