"""The short forms of `make bench-sync`: the same trials with fewer intents, counted at the platform's own log."""

from pathlib import Path

from roomtone.sandbox.scale_trial import scale_trial
from roomtone.sandbox.sync_trials import faulty_trial
from roomtone.sandbox.zombie_trial import zombie_trial


def test_no_intent_is_lost_or_doubled_under_every_fault(tmp_path: Path) -> None:
    done = faulty_trial(100, 11, tmp_path / "home")
    assert (done.duplicates, done.missing, done.wrong_profiles) == (0, 0, 0)
    assert done.simulated_minutes <= 30
    assert done.crashes > 3, "a trial without crashes shows nothing"


def test_a_large_plan_sends_only_its_changes(tmp_path: Path) -> None:
    done = scale_trial(5_000, 120, tmp_path / "home")
    assert done.write_calls <= done.write_calls_allowed
    assert (done.over_limit, done.wrong_profiles, done.others_touched) == (0, 0, 0)
    assert done.minutes_to_equal_after_faults <= 5


def test_a_worker_that_was_stopped_and_overtaken_sends_nothing_more(tmp_path: Path) -> None:
    done = zombie_trial(2, 7, tmp_path / "home")
    assert (done.overtaken, done.refused_to_go_on) == (2, 2)
    assert (done.effects_of_an_old_epoch, done.duplicates, done.missing, done.stuck_after_it) == (0, 0, 0, 0)
