"""The command line: one module a command, and the one place where errors become exit codes."""

from __future__ import annotations

import os
import sys

import typer

from bench.cli.check import check
from bench.cli.compare import compare
from bench.cli.data import app as data
from bench.cli.doctor import doctor
from bench.cli.leaderboard import leaderboard
from bench.cli.listing import listing
from bench.cli.maintaining import attest, merge, migrate
from bench.cli.maintaining import check as check_leaderboard
from bench.cli.new import new
from bench.cli.predict import predict
from bench.cli.publish import publish
from bench.cli.report import report
from bench.cli.run import run
from bench.cli.score import score
from bench.cli.show import show
from bench.cli.submit import submit
from bench.cli.verify import verify
from bench.errors import BenchError

app = typer.Typer(
    name="bench",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Which anomaly detector, learning from normal images only, tells diseased scans from healthy ones?",
)
app.command("run")(run)
app.command("predict")(predict)
app.command("list")(listing)
app.command("show")(show)
app.command("new")(new)
app.command("check")(check)
app.command("doctor")(doctor)
app.command("publish")(publish)
app.command("submit")(submit)
app.command("score")(score)
app.command("report")(report)
app.command("compare")(compare)
app.command("verify")(verify)
app.add_typer(data, name="data")
leaderboard.command("merge")(merge)
leaderboard.command("attest")(attest)
leaderboard.command("check")(check_leaderboard)
leaderboard.command("migrate")(migrate)
app.add_typer(leaderboard, name="leaderboard")


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """Run the options of ``bench`` itself."""
    if version:
        from bench import __version__

        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise typer.Exit(2)


def main() -> int:
    """Run the command line and return its exit code: 0 ok, 1 a cell failed, 2 usage, 3 environment, 130 interrupted."""
    try:
        app(prog_name="bench")
    except BenchError as error:
        typer.echo(f"error: {error}", err=True)
        return error.exit_code
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as ending:
        if isinstance(ending.code, str):  # a plugin's sys.exit("text")
            typer.echo(ending.code, err=True)
            return 1
        return ending.code or 0
    return 0
