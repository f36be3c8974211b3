"""The rhythm of a real service desk, at any multiple."""

from pathlib import Path

import pytest

from roomtone.errors import RoomtoneError
from roomtone.sandbox.rhythm import busiest_minutes


@pytest.mark.data
def test_the_busiest_stretch_at_several_multiples(data_dir: Path) -> None:
    once = busiest_minutes(data_dir, 60, 1)
    assert once == sorted(once)
    assert 50 < len(once) < 500
    assert max(once) <= 60 * 60 + 60
    assert len(busiest_minutes(data_dir, 60, 1000)) == 1000 * len(once)
    assert len(once) < len(busiest_minutes(data_dir, 60, 1.5)) < 2 * len(once)
    assert busiest_minutes(data_dir, 60, 3, seed=1) == busiest_minutes(data_dir, 60, 3, seed=1)


def test_without_the_log_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(RoomtoneError, match=r"ROOMTONE_DATA: .*arrivals\.parquet does not exist; set it"):
        busiest_minutes(tmp_path, 3, 1)
