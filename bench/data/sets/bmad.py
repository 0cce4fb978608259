"""BMAD: OCT2017, RESC and RSNA as that benchmark lays them out, RESC with pixel masks.

Bao J., Sun H., Deng H. et al. (2024), "BMAD: Benchmarks for Medical Anomaly Detection", CVPR Workshops. Its ``valid``
folders (``val``, ``Val``) are left out: published figures chose weights on them, and nothing here is chosen by
anomalies. The archives changed over time, and are redistributed with other code, so several layouts are known: images
in ``img`` or in the folder of their class, ``Ungood`` or ``ungood``, masks in ``label`` or ``anomaly_mask``, and the
first RESC, which kept its masks in a tree of their own (``Test/test``, ``Test/test_label``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench.contracts import ImageFile, TaskSpec
from bench.data.sets.kermany import IMAGE_SUFFIXES, oct_patient
from bench.data.sets.tables import Problems, find_root, list_names, missing_data
from bench.errors import BadTaskError

# As the archives unpack, and as they are redistributed with other code; all of them may lie in a folder BMAD.
FOLDERS = {
    "bmad-oct2017": ("Retina_OCT2017_AD/OCT2017", "OCT2017", "Retina_OCT2017_AD", "Retina_OCT2017", "bmad-oct2017"),
    "bmad-resc": ("Retina_RESC_AD/RESC", "RESC", "Retina_RESC_AD", "Retina_RESC", "bmad-resc"),
    "bmad-rsna": ("Chest_AD/Chest-RSNA", "Chest-AD/Chest-RSNA", "Chest-RSNA", "Chest_AD", "RSNA", "bmad-rsna"),
}
TRAIN_GOOD = ("train/good", "Train/train/good")
TEST_GOOD = ("test/good", "Test/test/good")
UNGOOD = ("test/Ungood", "test/ungood", "Test/test/Ungood", "Test/test/ungood")
MASKS = ("label", "anomaly_mask")
LAYOUT = (
    "  {folder}/train/good/*.png\n  {folder}/test/good/img/*.png (or test/good/*.png)\n"
    "  {folder}/test/Ungood/img/*.png (or ungood){masks}"
)
RESC_MASKS = ", its masks in test/Ungood/label (or anomaly_mask)"


def bmad_files(task: str, data: Path) -> Sequence[ImageFile]:
    """List one set: ``train/good`` is ``fit``, ``test`` is test; ``valid`` is left out.

    Raises:
        DataMissingError: no such folder, or it is that of another set.
        BadTaskError: an empty folder, a mask without its image, or an anomalous image without its mask; all are named.

    """
    spec = next(spec for spec in TASKS if spec.name == task)
    folders = (*FOLDERS[task], *(f"BMAD/{folder}" for folder in FOLDERS[task]))
    root = find_root(spec, data, folders, (TRAIN_GOOD, TEST_GOOD, UNGOOD))
    _refuse_another(spec, root)
    ungood = _first(root, UNGOOD)
    problems = Problems(spec)
    masks = _masks(ungood) if task == "bmad-resc" else {}
    fit, test = _images(_first(root, TRAIN_GOOD)), _images(_first(root, TEST_GOOD))
    files = [ImageFile(path, 0, "good", _patient(task, path), "fit") for path in fit]
    files += [ImageFile(path, 0, "good", _patient(task, path), "test") for path in test]
    for path in _images(ungood):
        mask = masks.pop(path.stem, None)
        if task == "bmad-resc" and mask is None:
            problems.add("anomalous image(s) without a mask", str(path))
        files.append(ImageFile(path, 1, "Ungood", _patient(task, path), "test", mask))
    for mask in masks.values():
        problems.add("mask(s) without an image", str(mask))
    problems.check()
    return files


def _refuse_another(spec: TaskSpec, root: Path) -> None:
    """Refuse a folder with the name of another of the sets: their layouts are the same, so nothing else would tell."""
    names = {Path(folder).name for task, folders in FOLDERS.items() if task != spec.name for folder in folders}
    if root.name in names:
        raise missing_data(spec, f"task '{spec.name}': {root} is another set of BMAD")


def _first(root: Path, folders: Sequence[str]) -> Path:
    return next(root / folder for folder in folders if (root / folder).exists())


def _images(folder: Path) -> list[Path]:
    """Images of a class: in ``img``, or in its folder itself."""
    for inside in (folder / "img", folder):
        if found := _inside(inside):
            return found
    raise BadTaskError(f"no images in {folder}: the class is empty or the download is incomplete")


def _masks(ungood: Path) -> dict[str, Path]:
    """Masks by the stem of their image, from the first folder that has any."""
    folders = [*(ungood / name for name in MASKS), ungood.parents[1] / "test_label" / ungood.name]
    found: list[Path] = next(filter(None, map(_inside, folders)), [])
    return {path.stem: path for path in found}


def _inside(folder: Path) -> list[Path]:
    return [folder / name for name in list_names(folder) if Path(name).suffix.lower() in IMAGE_SUFFIXES]


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
        layout=LAYOUT.format(folder=FOLDERS[name][0], masks=RESC_MASKS if name == "bmad-resc" else ""),
        build=partial(bmad_files, name),
    )


TASKS = (
    _task("bmad-oct2017", "OCT", "CC BY 4.0"),
    _task("bmad-resc", "OCT", "as the RESC challenge states (research)"),
    _task("bmad-rsna", "chest X-ray", "RSNA challenge terms (non-commercial)"),
)
