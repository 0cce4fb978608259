"""Everything that the site shows, as immutable values. Numbers stand here as they were computed; pages round them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from bench.metrics import Interval
from bench.results.attestations import BADGES, Badge
from bench.results.record import DetectorPart, EnvironmentPart, TaskPart


class Fact(BaseModel):
    """A frozen value that can be kept as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Problem(Fact):
    """Something of the records that is not shown, and why.

    Attributes:
        where: the file or folder, below the folder of results.
        what: what is wrong with it.

    """

    where: str
    what: str


class Estimate(Fact):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float
    method: str

    @classmethod
    def of(cls, found: Interval | None) -> Estimate | None:
        """Take an interval as metrics return it."""
        return None if found is None else cls(value=found.value, low=found.low, high=found.high, method=found.method)


class Part(Fact):
    """A detector on the images of one category against all healthy ones."""

    name: str
    auroc: Estimate | None
    normal: int
    anomalous: int
    note: str


class Curve(Fact):
    """The mean ROC curve as steps, and a band around it.

    Attributes:
        fpr: where it steps, rising from 0 to 1.
        tpr: what it steps to.
        low: lower end of the band at each multiple of 0.01.
        high: its upper end.

    """

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Point(Fact):
    """What the threshold that ``promise`` % of the held-out normals do not exceed achieves on test."""

    promise: int
    fpr: float
    tpr: float


class Bars(Fact):
    """How the scores of one class are spread: shares of them in :data:`bench.site.curves.BINS`."""

    name: str
    shares: tuple[float, ...]


class Cell(Fact):
    """One seed: its record's own figures, and where they come from."""

    cell: str
    seed: int
    auroc: Estimate | None
    badge: Badge
    by: str
    on: str
    fit_seconds: float | None
    images_per_second: float | None
    peak_rss_bytes: int | None
    device: str | None
    precision: str | None
    environment: EnvironmentPart


class Row(Fact):
    """A row of a table: what was measured of one configuration on one edition, seeds averaged.

    Attributes:
        slug: for links and files.
        detector: the detector with its configuration, as recorded.
        status: ok, or how its cells ended; then nothing is measured.
        reason: why, if not ok.
        seeds: that are averaged.
        auroc: the mean, with its interval.
        values: every image metric, mean over the seeds, by name.
        pixels: pixel metrics by name.
        parts: by category.
        curve: ROC.
        points: operating points from held-out normals.
        bars: spread of scores: held-out normals, healthy test images, each category.
        spark: true-positive rate at each twentieth of the false-positive rate, for a small picture.
        places: by test image in order of id, its place among all of them by score, 0 to 10,000, mean of the seeds.
        fit_seconds: mean over the seeds.
        images_per_second: mean over the seeds.

    """

    slug: str
    detector: DetectorPart
    status: str
    reason: str
    seeds: tuple[int, ...]
    auroc: Estimate | None = None
    values: dict[str, float] = {}
    pixels: dict[str, Estimate] = {}
    parts: tuple[Part, ...] = ()
    curve: Curve | None = None
    points: tuple[Point, ...] = ()
    bars: tuple[Bars, ...] = ()
    spark: tuple[float, ...] = ()
    places: tuple[int, ...] = ()
    fit_seconds: float | None = None
    images_per_second: float | None = None

    @property
    def name(self) -> str:
        """``salad``, or ``salad@no-ssim`` where the variant is not the default."""
        return self.detector.row

    @property
    def pretrained(self) -> tuple[str, ...]:
        """Names of the weights that it builds on."""
        return tuple(str(weights.get("name")) for weights in self.detector.pretrained)


class Pair(Fact):
    """A paired difference of AUROC, ``first`` less ``second`` (slugs of rows); p is adjusted after Holm."""

    first: str
    second: str
    value: float
    low: float
    high: float
    p: float
    adjusted: float
    smallest: float


class Standing(Fact):
    """The rows of an edition against one another.

    Attributes:
        ranks: by slug of row, the best and the worst place that it may have.
        top: by slug of row, the probability of the highest true AUROC.
        pairs: all images.
        parts: pairs on each category alone, by its name.
        resolves: the difference that two detectors must have to be told apart, median over the pairs.
        units: patients, or images, of the smaller class.

    """

    ranks: dict[str, tuple[int, int]] = {}
    top: dict[str, float] = {}
    pairs: tuple[Pair, ...] = ()
    parts: dict[str, tuple[Pair, ...]] = {}
    resolves: float | None = None
    units: int = 0


class Sheet(Fact):
    """Test images of an edition as one JPEG in base64, in order of id; empty where they may not be shown."""

    jpeg: str = ""


class Images(Fact):
    """The test images of an edition, in order of id; ``patients`` is how many there are, None where not known."""

    ids: tuple[str, ...] = ()
    labels: tuple[int, ...] = ()
    categories: tuple[str, ...] = ()
    patients: int | None = None


class Audit(Fact):
    """What a published audit found: copies, shared patients, and confounds with the AUROC of each alone."""

    searched: bool
    pairs: int
    across: int
    patients: int
    confounds: tuple[tuple[str, Estimate, int], ...]


class TaskEntry(Fact):
    """What the plugin that offers a task says of it."""

    modality: str
    citation: str
    licence: str
    url: str


class DetectorEntry(Fact):
    """What the plugin that offers a detector says of it; ``fields`` are the meanings of its configuration."""

    version: str
    summary: str
    citation: str
    resources: str
    maps: bool
    fields: dict[str, str]
    known_failures: dict[str, str]
    card: dict[str, str] = {}


class Edition(Fact):
    """One task as found on one kind of download: a table of its own, never ranked with another.

    Attributes:
        slug: for links and files.
        task: as recorded.
        entry: what its plugin says; None where it is not installed.
        superseded: whether a newer version of the task has records.
        rows: what is ranked: the default variant of the newest version of each detector, best AUROC first.
        failed: rows without a result.
        others: other variants and older versions.
        cells: of every row, by its slug.
        incomplete: slugs of rows of a detector that also has a record here that cannot be read.
        standing: the rows against one another.
        images: of test.
        sheet: these images, where anybody may show them.
        audit: None where there is none.

    """

    slug: str
    task: TaskPart
    entry: TaskEntry | None
    superseded: bool
    rows: tuple[Row, ...]
    failed: tuple[Row, ...]
    others: tuple[Row, ...]
    cells: dict[str, tuple[Cell, ...]]
    incomplete: frozenset[str]
    standing: Standing
    images: Images
    sheet: Sheet
    audit: Audit | None

    @property
    def all_rows(self) -> tuple[Row, ...]:
        """Every row of it."""
        return (*self.rows, *self.failed, *self.others)

    @property
    def title(self) -> str:
        """``oct2017 v1 (subset-1000)``."""
        return f"{self.task.name} v{self.task.version} ({self.task.edition})"

    def count(self, role: str, label: str = "normal") -> int:
        """Images of a role, by what the records say."""
        return self.task.counts.get(role, {}).get(label, 0)

    def badge(self, row: Row) -> Badge:
        """The least of what is known of its seeds."""
        return min((cell.badge for cell in self.cells[row.slug]), key=BADGES.index, default="recomputed")


class DetectorFacts(Fact):
    """One detector wherever it has records: ``results`` are pairs of an edition's slug and a row."""

    slug: str
    name: str
    entry: DetectorEntry | None
    results: tuple[tuple[str, Row], ...]


class Site(Fact):
    """All of it: editions with real images first, then protocol variants, then drawn images."""

    editions: tuple[Edition, ...]
    detectors: tuple[DetectorFacts, ...]
    problems: tuple[Problem, ...]
    records: int

    def edition(self, name: str) -> Edition:
        """Return an edition by its slug."""
        return next(one for one in self.editions if one.slug == name)
