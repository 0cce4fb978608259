"""``bench submit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import BlockOption, ResultsOption, open_registry


def submit(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="Cell ids, or folders with records.")],
    results: ResultsOption = Path("bench-runs"),
    out: Annotated[Path, typer.Option(help="The archive to make.")] = Path("submission.zip"),
    against: Annotated[Path, typer.Option(help="Published results to check against, where they are there.")] = Path(
        "results"
    ),
    no_plugin: BlockOption = None,
) -> None:
    """Pack records into one archive for a leaderboard, and check it exactly as the other side will."""
    from bench.errors import SubmissionError
    from bench.files import write_atomically
    from bench.results.archive import pack, unpack
    from bench.results.known import Known
    from bench.results.publish import find_cells
    from bench.results.store import Store
    from bench.results.submission import check_submission
    from bench.results.submit import gather, own_side

    folders = find_cells(runs, Store(results))
    specs = [offer.spec for offer in open_registry(no_plugin).detectors.values()]
    files = gather(folders, {(spec.name, spec.version): spec.citation for spec in specs})
    if (against / "manifests").is_dir():
        known = Known.of(against)
    else:
        known = own_side(results, folders)
        text = f"note: there are no published results in {against}: checked against your own manifests, and not for"
        typer.echo(f"{text} duplicates of what is published (--against DIR)", err=True)
    content = pack(files)
    members, reasons = unpack(content)
    if reasons := reasons or list(check_submission(members, known).reasons):
        raise SubmissionError("the submission", reasons)
    write_atomically(out, content)
    typer.echo(f"{out}: {len(folders)} record(s), {len(content)} bytes; nothing was found against it")
