"""The `roomtone` command: each command's help, its output and its one-line failures."""

import io
import json
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from roomtone.cli import app
from roomtone.score.streaming import score_lines
from roomtone.settings import Settings, load_settings

COMMANDS = (
    "run",
    "score",
    "train",
    "evaluate",
    "why",
    "pause",
    "release",
    "simulate",
    "assign",
    "rebuild",
    "doctor",
    "policies",
)


@pytest.fixture
def roomtone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Calls the command in this process, in a home of its own."""
    monkeypatch.setenv("ROOMTONE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()

    def call(*words: str, text: str | None = None):
        return runner.invoke(app, list(words), input=text)

    return call


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(roomtone, command: str) -> None:
    result = roomtone(command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_doctor_names_what_is_missing_and_what_to_do(roomtone) -> None:
    result = roomtone("doctor")
    assert result.exit_code == 1
    assert "FAIL connection files: is not set; set it to the folder" in result.output
    for check in ("home", "disk", "operational store", "warehouse", "policies", "model", "clock"):
        assert f"ok   {check}: " in result.output
    assert "ROOMTONE_SOURCES=files" in result.output


def test_doctor_answers_programs(roomtone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOMTONE_FILES_DIR", str(tmp_path))
    monkeypatch.setenv("ROOMTONE_DESTINATIONS", "files,klaviyo")
    monkeypatch.setenv("ROOMTONE_KLAVIYO_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ROOMTONE_KLAVIYO_TOKEN", "a-secret")
    result = roomtone("doctor", "--json")
    assert result.exit_code == 1
    findings = {row["check"]: row for row in json.loads(result.stdout.splitlines()[0])["findings"]}
    assert findings["connection files"]["is_ok"]
    assert "does not answer" in findings["connection klaviyo"]["detail"]
    assert "a-secret" not in result.output


def test_policies_are_checked_published_and_shown(roomtone) -> None:
    assert "rules are valid" in roomtone("policies", "check").output
    assert roomtone("policies", "publish", "--as-of", "2026-03-02T09:00:00Z").exit_code == 0
    assert "open_negative_ticket" in roomtone("policies", "show").output


def test_rebuild_without_a_pass_says_so(roomtone) -> None:
    result = roomtone("rebuild")
    assert result.exit_code == 1
    assert "no pass has ever run here" in str(result.exception)


def test_why_before_anything_was_published_says_so(roomtone) -> None:
    result = roomtone("why", "c1")
    assert result.exit_code == 1
    assert "published marts" in str(result.exception)


def test_a_failure_leaves_status_one_and_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "roomtone.cli", "why", "c1"],
        env={**os.environ, "ROOMTONE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("roomtone: published marts: ")
    assert done.stderr.count("\n") == 1


def test_score_keeps_the_order_and_the_columns(roomtone, tmp_path: Path) -> None:
    file = tmp_path / "messages.jsonl"
    texts = ["Thank you so much, it arrived!", "Where is my order?", "This is a disgrace, I am furious!"]
    file.write_text("".join(json.dumps({"id": str(n), "text": text}) + "\n" for n, text in enumerate(texts)))
    result = roomtone("score", str(file))
    assert result.exit_code == 0
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["id"] for row in rows] == ["0", "1", "2"]
    assert rows[0]["sentiment"] == "positive"
    assert rows[2]["sentiment"] == "negative"
    for row in rows:
        assert row["message_id"] == row["id"]
        assert abs(row["p_negative"] + row["p_neutral"] + row["p_positive"] - 1) < 1e-6
        assert set(row["cues"]) == {"frustration", "gratitude", "confusion", "sarcasm", "threat"}
        assert isinstance(row["top_reasons"], list)


def test_score_answers_a_pipe_before_it_ends() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "roomtone.cli", "score"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(b'{"id": "1", "text": "Where is my order?"}\n')
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], 60)
        assert ready, "no answer while the pipe is open"
        assert json.loads(process.stdout.readline())["id"] == "1"
    finally:
        process.stdin.close()
        process.wait(timeout=30)


def test_a_stream_without_a_file_descriptor_is_read_in_full_batches(settings: Settings) -> None:
    lines = b"".join(b'{"id": "%d", "text": "Thank you"}\n' % number for number in range(25))
    warned: list[str] = []
    answers = list(score_lines(io.BytesIO(lines + b"\n\n[]"), settings.model_dir, warned.append))
    assert answers.count(None) == 1
    assert len(answers) == 26
    assert warned == ['line 28: is not a JSON object; give {"id": ..., "text": ...}']


def test_an_unreadable_file_is_named(roomtone, tmp_path: Path) -> None:
    result = roomtone("score", str(tmp_path / "nothing.jsonl"))
    assert result.exit_code == 1
    assert "nothing.jsonl cannot be read" in str(result.exception)


def test_a_env_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROOMTONE_HOME", raising=False)
    (tmp_path / ".env").write_text("ROOMTONE_HOME=elsewhere\n")
    assert load_settings().home == tmp_path / "elsewhere"
