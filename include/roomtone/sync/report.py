"""What a sync did, in counts."""

from dataclasses import dataclass, field


@dataclass
class KindCounts:
    """Rows of one kind: `desired` in the mart, `unchanged`, `planned` as new intents; then what became of intents.

    `skipped` were left alone: not on the platform, held, expired, or refused a short while ago.
    """

    desired: int = 0
    unchanged: int = 0
    planned: int = 0
    done: int = 0
    rejected: int = 0
    in_doubt: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class SyncReport:
    """One sync run: counts per kind, and `notes`, one line each, about what was held or needs a look."""

    destination: str
    pass_sequence: int
    sync_run_id: int
    kinds: dict[str, KindCounts]
    notes: tuple[str, ...] = ()
    total: KindCounts = field(init=False)

    def __post_init__(self) -> None:
        names = KindCounts.__dataclass_fields__
        sums = {name: sum(getattr(counts, name) for counts in self.kinds.values()) for name in names}
        object.__setattr__(self, "total", KindCounts(**sums))
