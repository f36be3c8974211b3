"""The `roomtone` command. Every failure is one line that names the thing, the value and the next step."""

import errno
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from roomtone import clock
from roomtone.errors import RoomtoneError
from roomtone.settings import Settings, load_settings

if TYPE_CHECKING:
    from roomtone.pipeline import RunReport

app = typer.Typer(
    name="roomtone",
    help="Reads the mood of support messages and keeps marketing quiet while a customer is upset.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
policies_app = typer.Typer(help="Check, publish and read the policies.", no_args_is_help=True)
app.add_typer(policies_app, name="policies")
sync_app = typer.Typer(
    help="What is held at the destinations, and how to let it go or take it back.", no_args_is_help=True
)
app.add_typer(sync_app, name="sync")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="The instant to compute for, RFC 3339; default: the clock.")]


def main() -> None:
    """Run the command line; a RoomtoneError or a full disk ends it with one line and status 1."""
    try:
        app()
    except RoomtoneError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EROFS, errno.EDQUOT):
            raise
        _fail(
            f"{error.filename or 'disk'}: {error.strerror}; "
            "free space or choose a ROOMTONE_HOME you may write to, then run again"
        )


def _fail(line: str) -> None:
    sys.stderr.write(f"roomtone: {line}\n")
    raise SystemExit(1)


@app.command()
def run(as_of: AsOf = None, as_json: Json = False) -> None:
    """Extract, score, transform, validate, sync and publish once, in this process."""
    from roomtone.pipeline import run_once

    settings = load_settings()
    instant = _instant(as_of, settings)
    with _progress() as show:
        report = run_once(settings, instant, show)
    if as_json:
        typer.echo(
            json.dumps(
                _plain(asdict(report))
                | {
                    "messages_per_second": round(report.messages_per_second, 1),
                    "peak_memory_mib": round(report.peak_memory_mib, 1),
                }
            )
        )
    else:
        _print_run(report)
    for failure in report.failures:
        _warn(failure)
    if report.failures:
        raise SystemExit(1)


@app.command()
def score(
    file: Annotated[
        Path | None,
        typer.Argument(help="JSON Lines with id, text, optional language and channel; default: standard input."),
    ] = None,
    model: Annotated[Path | None, typer.Option("--model", help="Folder of a model; default: ROOMTONE_MODEL.")] = None,
) -> None:
    """Score messages: JSON Lines in, JSON Lines out, in the same order, as they come."""
    from roomtone.score.streaming import score_lines

    settings = load_settings()
    refused = 0
    with _opened(file) as source:
        for line in score_lines(source, model or settings.model_dir, _warn):
            if line is None:
                refused += 1
                continue
            sys.stdout.write(line)
            sys.stdout.flush()
    if refused:
        _fail(f"input: {refused} lines could not be scored, each named above; mend them and score them again")


@app.command()
def train(  # noqa: PLR0917 - the options of one command
    output: Annotated[Path, typer.Option("--output", help="Folder for the new model.")],
    labels: Annotated[
        Path | None, typer.Option("--labels", help="JSON Lines with id, text, sentiment of your own brand.")
    ] = None,
    unlabelled: Annotated[
        Path | None, typer.Option("--unlabelled", help="JSON Lines with id, text: your brand's latest messages.")
    ] = None,
    from_reviews: Annotated[
        bool, typer.Option("--from-reviews", help="Take the labels that people gave in reviews, and --labels if given.")
    ] = False,
    model: Annotated[
        Path | None, typer.Option("--model", help="Folder of the model to start from; default: ROOMTONE_MODEL.")
    ] = None,
    outcomes: Annotated[
        bool, typer.Option("--outcomes", help="Learn the risk of a promotion from what became of your own sends.")
    ] = False,
    refit: Annotated[
        bool, typer.Option("--refit", help="Train on the open sets again, with the labels among them.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="The same seed and data give the same model.")] = 7,
) -> None:
    """Teach the model in use a brand's own messages; without any, train it anew on the open sets of ROOMTONE_DATA."""
    settings = load_settings()
    with _progress() as show:
        show("train")
        if outcomes:
            from roomtone.score import risk_table

            typer.echo(risk_table.train(settings, output, clock.now(settings), seed))
            return
        if refit or not (labels or unlabelled or from_reviews):
            from roomtone.score.train import train as train_model

            train_model(settings.data_dir, output, seed=seed, labels=labels)
        else:
            from roomtone.score import brand_artefact

            answers, texts = brand_artefact.evidence(
                settings, labels, unlabelled, from_reviews=from_reviews, warn=_warn, seed=seed
            )
            learned = brand_artefact.train_brand(
                model or settings.model_dir, output, answers, texts, seed=seed, progress=show
            )
            for line in learned.lines:
                typer.echo(line)
    typer.echo(f"model written to {output}; read {output / 'MODEL_CARD.md'}")


@app.command()
def evaluate(
    model: Annotated[Path | None, typer.Option("--model", help="Folder of a model; default: ROOMTONE_MODEL.")] = None,
    as_json: Json = False,
) -> None:
    """Judge a model on the open sets of ROOMTONE_DATA, beside its baselines."""
    from roomtone.score.evaluate import evaluate as evaluate_model
    from roomtone.score.model import Model

    settings = load_settings()
    with _progress() as show:
        show("evaluate")
        figures = evaluate_model(Model.load(model or settings.model_dir), settings.data_dir)
    typer.echo(json.dumps(figures, indent=None if as_json else 2))


@app.command()
def why(
    customer: Annotated[str, typer.Argument(help="customer_id")],
    at: Annotated[
        str | None, typer.Option("--at", help="The instant to explain, RFC 3339; default: the last published pass.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What state a customer is in and why: rule, version, evidence, and what ends it."""
    from roomtone.policies.why import explain

    settings = load_settings()
    answer = explain(settings, customer, _instant(at, settings, "--at") if at else None)
    typer.echo(json.dumps(_plain(answer.as_dict())) if as_json else answer.as_text())


@app.command()
def pause(
    customer: Annotated[str, typer.Argument(help="customer_id")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the decision.")],
    hours: Annotated[float, typer.Option("--hours", help="How long; at most 720.")] = 72,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="Scope to pause; repeat for several; default: all.")
    ] = None,
    actor: Annotated[str, typer.Option("--by", help="Who decides.")] = "operator",
) -> None:
    """Pause a customer by hand; wins over every rule until it ends."""
    _override("pause", customer, reason, hours, scope, actor)


@app.command()
def release(
    customer: Annotated[str, typer.Argument(help="customer_id")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the decision.")],
    hours: Annotated[float, typer.Option("--hours", help="How long rules may not pause; at most 720.")] = 72,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="Scope to release; repeat for several; default: all.")
    ] = None,
    actor: Annotated[str, typer.Option("--by", help="Who decides.")] = "operator",
) -> None:
    """Release a customer by hand; wins over every rule until it ends."""
    _override("release", customer, reason, hours, scope, actor)


@app.command()
def assign(
    agent: Annotated[
        list[str] | None, typer.Option("--agent", help="Who is on duty; repeat; default: all who have a live ticket.")
    ] = None,
    queue: Annotated[str | None, typer.Option("--queue", help="Only the tickets of this queue; default: all.")] = None,
    as_json: Json = False,
) -> None:
    """Suggest who takes each live ticket that nobody has, so that the emotional load is shared."""
    from roomtone.policies.assignment import suggest

    suggested = suggest(load_settings(), tuple(agent or ()), queue)
    if as_json:
        typer.echo(json.dumps(_plain(asdict(suggested)) | {"max_to_mean": suggested.max_to_mean}))
        return
    for ticket, name in suggested.agents.items():
        typer.echo(f"{ticket} to {name}")
    loads = ", ".join(f"{name} {load:g}" for name, load in sorted(suggested.loads.items()))
    typer.echo(f"load then: {loads}; the most over the mean: {suggested.max_to_mean:.2f}")


@app.command()
def simulate(
    policies: Annotated[
        Path | None,
        typer.Option("--policies", help="Folder with the four policy files to try; default: the published."),
    ] = None,
    from_at: Annotated[
        str | None, typer.Option("--from", help="Count what lasts from here on, RFC 3339; default: all history.")
    ] = None,
    to_at: Annotated[
        str | None, typer.Option("--to", help="Replay up to here, RFC 3339; default: the last pass.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Folder of a model whose scores take the place of all others.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Replay history under other policies, or another model, and print what would differ; changes nothing."""
    from roomtone.replay import simulate as replay

    settings = load_settings()
    if policies is None and model is None:
        raise RoomtoneError("simulate", "nothing to try", "give --policies DIR or --model DIR")
    window = [
        _instant(text, settings, option) if text else None for text, option in ((from_at, "--from"), (to_at, "--to"))
    ]
    with _progress() as show:
        difference = replay(settings, policies, window[0], window[1], model, show)
    if as_json:
        typer.echo(json.dumps(_plain(asdict(difference)) | {"is_none": difference.is_none}))
    else:
        typer.echo(difference.as_text())


@app.command()
def rebuild() -> None:
    """Build the warehouse again from the raw records and the operational store."""
    from roomtone.rebuild import rebuild_warehouse

    settings = load_settings()
    with _progress() as show:
        show("rebuild")
        report = rebuild_warehouse(settings)
    typer.echo(f"warehouse rebuilt as of {report.as_of.isoformat()}: {report.count_loaded} raw rows")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check settings, stores, model, policies, connections, clock and disk; say what to do."""
    from roomtone.doctor import examine

    settings = load_settings()
    findings = examine(settings)
    if as_json:
        typer.echo(
            json.dumps({"settings": settings.described(), "findings": [asdict(finding) for finding in findings]})
        )
    else:
        for name, value in settings.described().items():
            typer.echo(f"{name}={value}")
        for finding in findings:
            typer.echo(f"{'ok  ' if finding.is_ok else 'FAIL'} {finding.check}: {finding.detail}")
    failed = [finding for finding in findings if not finding.is_ok]
    if failed:
        _fail(f"doctor: {len(failed)} of {len(findings)} checks failed; each line above says what to do")


@app.command()
def status(as_json: Json = False) -> None:
    """How fresh everything is against what was promised, and what still works while it is not."""
    from roomtone.status import as_text, examine

    found = examine(load_settings(), datetime.now(UTC))
    typer.echo(json.dumps(_plain(asdict(found))) if as_json else as_text(found))
    if not found.is_fresh:
        late = ", ".join([mode.what for mode in found.degraded] or [f.way for f in found.figures if not f.is_met])
        _fail(f"status: {late} not as promised; each line above says what it means")


@app.command()
def risk(as_json: Json = False) -> None:
    """Weigh each customer's churn risk anew, as the hourly DAG does; the next run takes it in."""
    from roomtone.score import risk_table

    settings = load_settings()
    with _progress() as show:
        show("risk")
        found = risk_table.weigh(settings, clock.now(settings))
    if as_json:
        typer.echo(json.dumps(_plain(asdict(found))))
    else:
        typer.echo(
            f"{found.count_weighed} customers weighed by {found.risk_version}, {found.count_changed} changed;"
            " the next run takes them in"
        )


@policies_app.command("check")
def policies_check() -> None:
    """Validate the policy files of ROOMTONE_POLICIES; name everything that is wrong with them."""
    from roomtone.policies.schema import checked_policies, warnings

    settings = load_settings()
    loaded, problems = checked_policies(settings.policies_dir)
    for problem in problems:
        typer.echo(str(problem))
    if loaded is None:
        what = "1 thing is" if len(problems) == 1 else f"{len(problems)} things are"
        _fail(f"{settings.policies_dir}: {what} wrong; mend what each line above names, nothing was published")
        return
    for warning in warnings(loaded):
        _warn(warning)
    typer.echo(f"{settings.policies_dir}: {loaded.count} rules are valid")


@policies_app.command("publish")
def policies_publish(as_of: AsOf = None) -> None:
    """Append new versions to the operational store; an edited rule with an old version is refused."""
    from roomtone.policies.publish import publish
    from roomtone.stores.operational import OperationalStore

    settings = load_settings()
    report = publish(settings, OperationalStore(settings), _instant(as_of, settings))
    typer.echo(report.as_text())


@policies_app.command("show")
def policies_show() -> None:
    """Print the policies in plain English."""
    from roomtone.policies.explain import render
    from roomtone.policies.schema import load_policies

    typer.echo(render(load_policies(load_settings().policies_dir)))


@policies_app.command("docs", hidden=True)
def policies_docs() -> None:
    """Write docs/policies.md and the editors' JSON Schema again."""
    from roomtone.policies.explain import write_docs

    for path in write_docs():
        typer.echo(f"wrote {path}")


@sync_app.command("status")
def sync_status(as_json: Json = False) -> None:
    """The last sync runs, what is held and why, and what was laid aside."""
    from roomtone.sync.status import status

    found = status(load_settings())
    typer.echo(json.dumps(_plain(asdict(found))) if as_json else found.as_text())


@sync_app.command("release")
def sync_release(
    destination: Annotated[str, typer.Argument(help="Name of a destination.")],
    actor: Annotated[str, typer.Option("--by", help="Who decides.")] = "operator",
) -> None:
    """Let go, for the next sync, what a limit on numbers or a rollback holds at a destination."""
    from roomtone.stores.operational import OperationalStore
    from roomtone.sync import holds

    settings = load_settings()
    for hold in holds.release(OperationalStore(settings), destination, actor, clock.now(settings)):
        typer.echo(f"released {hold.count} {hold.kind} ({hold.reason}); they leave with the next sync")


@sync_app.command("rollback")
def sync_rollback(
    run: Annotated[int, typer.Argument(help="Number of a sync run, as `roomtone sync status` shows it.")],
    as_json: Json = False,
) -> None:
    """Restore what a sync run changed, and hold its destination until it is released."""
    from roomtone.sync.rollback import rollback

    report = rollback(load_settings(), run)
    told = f"run {run} rolled back at {report.destination}: {report.restored} restored, {report.changed_since} changed"
    told += f" since and left, {report.events} events that cannot be recalled; `roomtone sync release` lets it go on"
    typer.echo(json.dumps(asdict(report)) if as_json else told)
    if report.unfinished:
        _fail(f"rollback: {report.unfinished} records are not seen as before yet; run `roomtone sync reconcile`")


@sync_app.command("reconcile")
def sync_reconcile(
    destination: Annotated[str | None, typer.Argument(help="Name of a destination; default: all.")] = None,
    as_json: Json = False,
) -> None:
    """Read destinations back, repair drift, and list live campaigns and flows that lack the exclusion."""
    from roomtone.sync.reconcile import reconcile

    settings = load_settings()
    names = [destination] if destination else list(settings.destinations)
    reports = [reconcile(settings, name) for name in names]
    if as_json:
        typer.echo(json.dumps([asdict(report) for report in reports]))
        return
    for report in reports:
        typer.echo(report.as_text())


def _override(  # noqa: PLR0917 - the options of two commands, in their order
    action: str, customer: str, reason: str, hours: float, scopes: list[str] | None, actor: str
) -> None:
    from roomtone.policies.overrides import Override, record
    from roomtone.policies.why import person_of
    from roomtone.stores.operational import OperationalStore

    settings = load_settings()
    # Before the first pass nobody is known yet, so nobody can be misspelt.
    if (settings.published_dir / "marts.duckdb").is_file():
        customer = person_of(settings, customer)
    starts_at = clock.now(settings)
    override = Override.decided(action, customer, reason, actor, tuple(scopes or ()), starts_at, timedelta(hours=hours))
    record(OperationalStore(settings), override)
    typer.echo(f"{action} of {customer} until {override.ends_at.isoformat()}; it takes effect with the next run")


def _instant(text: str | None, settings: Settings, option: str = "--as-of") -> datetime:
    if text is None:
        return clock.now(settings)
    try:
        return clock.parse_instant(text)
    except ValueError as error:
        raise RoomtoneError(option, f"{error}", "give an RFC 3339 timestamp such as 2026-03-02T09:00:00Z") from None


def _warn(line: str) -> None:
    sys.stderr.write(f"roomtone: {line}\n")


@contextmanager
def _opened(file: Path | None) -> Iterator[Any]:
    if file is None:
        yield sys.stdin.buffer
        return
    try:
        source = file.open("rb")
    except OSError as error:
        raise RoomtoneError(
            "FILE", f"{file} cannot be read ({error.strerror})", "give a readable JSON Lines file"
        ) from error
    with source:
        yield source


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Shows the current stage on a terminal; prints nothing where nobody watches."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("roomtone") as status:
        yield lambda stage: status.update(f"roomtone: {stage}")


def _print_run(report: "RunReport") -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{report.pass_id} as of {report.as_of.isoformat()}", style="bold")
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    table.add_column("did")
    for name, stage in report.stages.items():
        table.add_row(name, _did(stage))
    console.print(table)
    console.print("seconds: " + ", ".join(f"{name} {seconds:.1f}" for name, seconds in report.seconds.items()))
    console.print(
        f"scored {report.messages_scored} messages, {report.messages_per_second:,.0f} a second; "
        f"peak memory {report.peak_memory_mib:,.0f} MiB"
    )
    for note in report.notes:
        console.print(f"note: {note}", markup=False)


def _did(stage: Any) -> str:
    """One line of what a stage did, from its report."""
    from roomtone.extract import ExtractReport
    from roomtone.score.scoring import ScoreReport
    from roomtone.sync import SyncReport
    from roomtone.sync.publish import PublishReport
    from roomtone.transform import TransformReport
    from roomtone.validate import ValidationReport

    match stage:
        case ExtractReport(total=total):
            line = f"{total.read} records read = {total.landed} landed + {total.duplicate} duplicate + "
            line += f"{total.quarantined} quarantined"
        case ScoreReport():
            line = f"{stage.count_loaded} rows loaded, {stage.count_scored} messages scored by {stage.model_version}"
        case TransformReport():
            whom = f"everybody ({stage.whole_because})" if stage.whole_because else f"{stage.count_touched} customers"
            line = f"{stage.nodes} models and tests over {whom}"
        case ValidationReport():
            checks = sum(result.count_evaluated for result in stage.tables)
            line = f"{checks} expectations on {len(stage.tables)} tables, {len(stage.warnings)} warnings"
        case SyncReport(total=total):
            line = f"{total.desired} wanted, {total.unchanged} there already, {total.done} brought over"
        case PublishReport():
            line = f"{len(stage.tables)} tables to {stage.database}"
        case _:
            line = str(stage)
    return line


def _plain(value: Any) -> Any:
    """A report as what JSON knows: dates as RFC 3339 text, tuples as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool | None) else str(value)


if __name__ == "__main__":
    main()
