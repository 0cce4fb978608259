"""What is drawn: the two tasks as a detector meets them."""

from collections import Counter
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from bench.data.phantoms import CXR_PHANTOM, OCT_PHANTOM, cxr, oct
from bench.data.phantoms.sets import CXR_SET, OCT_SET, draw_one

SETS = {OCT_PHANTOM.name: OCT_SET, CXR_PHANTOM.name: CXR_SET}
LESIONS = [(phantoms, lesion) for phantoms in SETS.values() for lesion, _ in phantoms.lesions]


def pixels(path, side=128):
    with Image.open(path) as image:
        return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), np.float64)


@pytest.fixture(scope="session")
def at_64(drawn):
    """Train images, test images (both as float64 rows of 64 × 64 pixels) and test labels."""
    _, files = drawn
    train = np.stack([pixels(file.path, 64).ravel() for file in files if file.role == "fit"])
    test = np.stack([pixels(file.path, 64).ravel() for file in files if file.role == "test"])
    return train, test, np.array([file.label for file in files if file.role == "test"])


def test_roles_and_classes(drawn):
    spec, files = drawn
    assert Counter((file.role, file.label) for file in files) == {("fit", 0): 400, ("test", 0): 100, ("test", 1): 100}
    anomalous = Counter(file.category for file in files if file.label)
    assert anomalous == dict(SETS[spec.name].lesions)
    assert spec.synthetic and spec.grouping == "patient"


def test_no_patient_is_in_both_splits_or_in_two_classes(drawn):
    _, files = drawn
    sides = {(file.patient, file.role, file.category) for file in files}
    assert len(sides) == len({file.patient for file in files}) == 300


def test_no_two_images_are_the_same(drawn):
    _, files = drawn
    assert len({file.path.read_bytes() for file in files}) == len(files)


def test_masks_are_binary_and_mark_a_small_part(drawn):
    _, files = drawn
    for file in files:
        if file.mask is not None:
            mask = pixels(file.mask)
            assert set(np.unique(mask)) == {0.0, 255.0}, file.mask
            assert 0.002 < (mask > 0).mean() < 0.45, file.mask


def test_hardly_a_pixel_is_clipped(drawn):
    _, files = drawn
    values = np.stack([pixels(file.path) for file in files])
    assert (values == 255).mean() < 0.02
    assert (values == 0).mean() < 0.02


def test_brightness_and_contrast_tell_nothing(at_64):
    _, test, labels = at_64
    assert 0.40 <= roc_auc_score(labels, test.mean(axis=1)) <= 0.60
    assert 0.40 <= roc_auc_score(labels, test.std(axis=1)) <= 0.60


def test_pca_does_better_than_chance_and_leaves_room(at_64):
    train, test, labels = at_64
    pca = PCA(32, svd_solver="full").fit(train)
    errors = ((test - pca.inverse_transform(pca.transform(test))) ** 2).mean(axis=1)
    assert 0.55 < roc_auc_score(labels, errors) < 0.85


@pytest.mark.parametrize(("phantoms", "lesion"), LESIONS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_lesion_shows_where_the_mask_is(phantoms, lesion):
    """The same image with and without the lesion, exposure aside, differs in the mask and much less elsewhere."""
    for index in range(100, 108):
        image, mask = draw_one(phantoms, "test", index, lesion)
        healthy, empty = draw_one(phantoms, "test", index, None)
        assert not empty.any()
        inside, far = mask > 0, ~binary_dilation(mask > 0, iterations=4)
        gain, offset = np.polyfit(healthy[far].astype(float), image[far].astype(float), 1)
        change = np.abs(image - gain * healthy - offset)
        assert change[inside].mean() > 6.0  # grey levels
        assert change[inside].mean() > 3.0 * change[far].mean()


@pytest.mark.parametrize(("phantoms", "lesion"), LESIONS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_lesion_changes_neither_brightness_nor_contrast(phantoms, lesion):
    """Exposure is drawn without regard to the lesion; what is left comes from rounding and clipping."""
    for index in range(100, 108):
        image, healthy = (draw_one(phantoms, "test", index, which)[0].astype(float) for which in (lesion, None))
        assert abs(image.mean() - healthy.mean()) < 0.4  # grey levels
        assert abs(image.std() - healthy.std()) < 0.7


@pytest.mark.parametrize("draw", [oct.draw, cxr.draw], ids=["oct", "cxr"])
def test_patient_and_image_each_decide_their_part(draw):
    def generators(patient, image):
        return np.random.default_rng(patient), np.random.default_rng(image)

    reference, _ = draw(*generators(1, 1), None)
    again, _ = draw(*generators(1, 1), None)
    np.testing.assert_array_equal(reference, again)
    assert reference.dtype == np.uint8 and reference.shape == (128, 128)
    for other in ((1, 2), (2, 1)):
        assert (draw(*generators(*other), None)[0] != reference).mean() > 0.5


@pytest.mark.parametrize("draw", [oct.draw, cxr.draw], ids=["oct", "cxr"])
def test_an_unknown_lesion_is_refused(draw):
    with pytest.raises(KeyError):
        draw(np.random.default_rng(1), np.random.default_rng(1), "FRACTURE")


@pytest.mark.parametrize(
    ("phantoms", "expected"),
    [
        (OCT_SET, ["a13272752dc3", "877942fab088", "7ab1f8e8399f", "f5499f25e2ef"]),
        (CXR_SET, ["694fa476504e", "bd88bde76521", "b0134bb3801f", "d53478ee9fd3", "8f349f8e218d"]),
    ],
    ids=["oct", "cxr"],
)
def test_the_images_of_version_1_stay_as_they_are(phantoms, expected):
    """A change here changes every manifest hash: give the task a new version with it."""
    lesions = [None, *(lesion for lesion, _ in phantoms.lesions)]
    drawn = [draw_one(phantoms, "test", 0, lesion) for lesion in lesions]
    assert [sha256(image.tobytes() + mask.tobytes()).hexdigest()[:12] for image, mask in drawn] == expected
