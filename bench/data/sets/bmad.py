"""BMAD: OCT2017, RESC and RSNA as that benchmark lays them out, RESC with pixel masks.

Bao J., Sun H., Deng H. et al. (2024), "BMAD: Benchmarks for Medical Anomaly Detection", CVPR Workshops. Its ``valid``
folders are left out: published figures chose weights on them, and nothing here is chosen by anomalies.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench.contracts import ImageFile, TaskSpec
from bench.data.sets.kermany import IMAGE_SUFFIXES, oct_patient
from bench.data.sets.tables import Problems, find_root, list_names
from bench.errors import BadTaskError

# As the archives unpack, and as they are redistributed with other code.
FOLDERS = {
    "bmad-oct2017": ("BMAD/OCT2017", "Retina_OCT2017", "Retina_OCT2017_AD", "bmad-oct2017"),
    "bmad-resc": ("BMAD/RESC", "Retina_RESC", "Retina_RESC_AD", "RESC", "bmad-resc"),
    "bmad-rsna": ("BMAD/RSNA", "Chest-RSNA", "Chest_AD", "bmad-rsna"),
}
MASKS = ("label", "anomaly_mask")
LAYOUT = (
    "  {folder}/train/good/*.png\n  {folder}/test/good/img/*.png (or test/good/*.png)\n  {folder}/test/Ungood/img/*.png"
)


def bmad_files(task: str, data: Path) -> Sequence[ImageFile]:
    """List one set: ``train/good`` is ``fit``, ``test`` is test; ``valid`` is left out.

    Raises:
        DataMissingError: no such folder.
        BadTaskError: an empty folder, a mask without its image, or an anomalous image without its mask; all are named.

    """
    spec = next(spec for spec in TASKS if spec.name == task)
    root = find_root(spec, data, FOLDERS[task], ("train/good", "test/good", "test/Ungood"))
    problems = Problems(spec)
    masks = _masks(root / "test" / "Ungood") if task == "bmad-resc" else {}
    files = [ImageFile(path, 0, "good", _patient(task, path), "fit") for path in _images(root / "train" / "good")]
    files += [ImageFile(path, 0, "good", _patient(task, path), "test") for path in _images(root / "test" / "good")]
    for path in _images(root / "test" / "Ungood"):
        mask = masks.pop(path.stem, None)
        if task == "bmad-resc" and mask is None:
            problems.add("anomalous image(s) without a mask", str(path))
        files.append(ImageFile(path, 1, "Ungood", _patient(task, path), "test", mask))
    for mask in masks.values():
        problems.add("mask(s) without an image", str(mask))
    problems.check()
    return files


def _images(folder: Path) -> list[Path]:
    """Images of a class: in ``img``, or in its folder itself."""
    for inside in (folder / "img", folder):
        if found := [inside / name for name in list_names(inside) if Path(name).suffix.lower() in IMAGE_SUFFIXES]:
            return found
    raise BadTaskError(f"no images in {folder}: the class is empty or the download is incomplete")


def _masks(folder: Path) -> dict[str, Path]:
    return {Path(name).stem: folder / inside / name for inside in MASKS for name in list_names(folder / inside)}


def _patient(task: str, path: Path) -> str | None:
    """Only OCT2017's names carry the patient: ``CNV-933576-16.png``."""
    return oct_patient(path.name) if task == "bmad-oct2017" else None


def _task(name: str, modality: str, licence: str) -> TaskSpec:
    return TaskSpec(
        name=name,
        version="1",
        modality=modality,
        citation="Bao J., Sun H., Deng H. et al. (2024), BMAD: Benchmarks for Medical Anomaly Detection, CVPRW",
        licence=licence,
        url="https://github.com/DorisBao/BMAD",
        # OCT2017's published split shares patients between train and test; the others carry none.
        grouping="unknown",
        layout=LAYOUT.format(folder=FOLDERS[name][0]),
        build=partial(bmad_files, name),
    )


TASKS = (
    _task("bmad-oct2017", "OCT", "CC BY 4.0"),
    _task("bmad-resc", "OCT", "as the RESC challenge states (research)"),
    _task("bmad-rsna", "chest X-ray", "RSNA challenge terms (non-commercial)"),
)
