"""When people write: the arrivals of a real service desk, times only, at any multiple of their number."""

from pathlib import Path

import numpy as np
import pandas as pd

from roomtone.errors import RoomtoneError

_FILE = Path("incident_event_log") / "arrivals.parquet"


def busiest_minutes(data_dir: Path, minutes: float, multiple: float, seed: int = 7) -> list[float]:
    """Seconds of arrival within the busiest stretch of this length, each arrival `multiple` times.

    The log knows minutes; within its minute an arrival, and each of its repetitions, falls anywhere. Reopenings are
    arrivals too: the customer writes again. Raises RoomtoneError where the log is absent.
    """
    path = data_dir / _FILE
    if not path.is_file():
        raise RoomtoneError("ROOMTONE_DATA", f"{path} does not exist", "set it, or leave out --rhythm")
    table = pd.read_parquet(path, columns=["opened_at", "resolved_at", "max_reopen_count"])
    reopened = table.loc[table["max_reopen_count"] > 0, "resolved_at"]
    arrivals = pd.concat([pd.to_datetime(table["opened_at"]), pd.to_datetime(reopened)]).dropna()
    seconds = np.sort(arrivals.to_numpy(dtype="datetime64[s]").astype(np.int64))
    # How many arrivals lie in the stretch that begins with each of them.
    counts = np.searchsorted(seconds, seconds + minutes * 60.0) - np.arange(len(seconds))
    first = int(counts.argmax())
    chosen = seconds[first : first + int(counts[first])]
    rng = np.random.default_rng(seed)
    times = int(multiple) + (rng.random(len(chosen)) < multiple % 1.0)
    due = np.repeat(chosen - chosen[0], times)
    return sorted((due + rng.uniform(0.0, 60.0, len(due))).tolist())
