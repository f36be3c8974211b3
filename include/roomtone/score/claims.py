"""What the model's benchmarks print: a claim, the figure measured and the target it stands against."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Row:
    """One claim: `figure` against `target`, in `unit`; `is_reached` compares them in the direction of `at_most`."""

    what: str
    unit: str
    target: float
    figure: float
    at_most: bool = False

    @property
    def is_reached(self) -> bool:
        return self.figure <= self.target if self.at_most else self.figure >= self.target

    def as_dict(self) -> dict[str, object]:
        rounded = {"target": round(self.target, 4), "figure": round(self.figure, 4)}
        return asdict(self) | rounded | {"is_reached": self.is_reached}
