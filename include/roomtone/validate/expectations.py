"""Great Expectations, behind one function: frames and rules in, verdicts out. The only module that imports it.

The import takes seconds and the library talks a lot, so it happens on first use, with its logger, its progress bars and
its analytics off. Results carry counts and measured numbers only: rows, values and tracebacks stay inside.
"""

import logging
import numbers
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from roomtone.validate.report import Severity

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.core import ExpectationValidationResult

# Counts of what does not fit, and no sample of it: a sample would be customers' data.
_RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": 0}


@dataclass(frozen=True)
class Expectation:
    """One expectation to evaluate: a class of Great Expectations, its arguments over the frame, its severity."""

    name: str
    severity: Severity
    expectation: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """Whether one expectation held. `observed` is a count or a measured number; None when it could not be evaluated."""

    name: str
    is_met: bool
    observed: float | None


class Evaluator:
    """An ephemeral Great Expectations context with one pandas data source.

    Nothing is written to disk or sent anywhere.
    """

    def __init__(self) -> None:
        # Before the import: with Airflow's logging in place the import alone prints dozens of lines.
        logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import great_expectations as gx
            from great_expectations import expectations
            from great_expectations.data_context.types.base import (
                DataContextConfig,
                InMemoryStoreBackendDefaults,
                ProgressBarsConfig,
            )

            context = gx.get_context(
                mode="ephemeral",
                project_config=DataContextConfig(
                    # Without a docs site: it would make a folder among the temporary files in every pass.
                    store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
                    analytics_enabled=False,
                    progress_bars=ProgressBarsConfig(globally=False),
                ),
            )
        self._suite = gx.ExpectationSuite
        self._classes = expectations
        # One asset for all frames: each new one would write the whole configuration out as YAML, 10 ms a time.
        self._frames = (
            context.data_sources.add_pandas("warehouse")
            .add_dataframe_asset("frame")
            .add_batch_definition_whole_dataframe("whole")
        )

    def evaluate(self, table: str, frame: "pd.DataFrame", wanted: Sequence[Expectation]) -> list[Verdict]:
        """The verdicts on `frame`, in the order of `wanted`.

        Raises what Great Expectations raises when it breaks as a whole.
        """
        if not wanted:
            return []
        batch = self._frames.get_batch({"dataframe": frame})
        suite = self._suite(
            name=table,
            expectations=[
                getattr(self._classes, item.expectation)(
                    severity=item.severity, meta={"position": position}, **item.arguments
                )
                for position, item in enumerate(wanted)
            ],
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = batch.validate(suite, result_format=_RESULT_FORMAT).results
        found = {_position(result): result for result in results}
        return [
            Verdict(item.name, bool(found[position].success), _observed(found[position]))
            if position in found
            else Verdict(item.name, False, None)
            for position, item in enumerate(wanted)
        ]


def _position(result: "ExpectationValidationResult") -> int | None:
    meta = result.expectation_config.meta if result.expectation_config else None
    return None if meta is None else meta.get("position")


def _observed(result: "ExpectationValidationResult") -> float | None:
    """How many rows do not fit, or the number that was measured over all of them."""
    value = result.result.get("unexpected_count", result.result.get("observed_value"))
    return float(value) if isinstance(value, numbers.Real) else None
