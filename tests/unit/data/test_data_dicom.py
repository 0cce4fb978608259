"""DICOM files to grey pictures, checked against arithmetic done by hand."""

import builtins
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from bench.data import dicom
from bench.data.dicom import decode_dicom, dicom_attributes, is_dicom

RAMP = np.array([[0, 1, 1000, 2048], [2049, 3000, 4094, 4095]])
"""Twelve bits from end to end."""


def make(pixels: NDArray[Any], bits: int, signed: bool = False, **elements: Any) -> FileDataset:
    """A digital chest X-ray with these stored values."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = elements.pop("syntax", ExplicitVRLittleEndian)
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 8 if bits <= 8 else 16
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = int(signed)
    kind = f"{'i' if signed else 'u'}{dataset.BitsAllocated // 8}"
    dataset.PixelData = pixels.astype(kind).tobytes()
    dataset["PixelData"].VR = "OB" if bits <= 8 else "OW"
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


def packed(dataset: FileDataset) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def decoded(pixels: NDArray[Any], bits: int, signed: bool = False, **elements: Any) -> NDArray[Any]:
    return decode_dicom(packed(make(pixels, bits, signed, **elements)))


def lut(first: int, bits: int, values: list[int]) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item["LUTDescriptor"].VR = "US"
    item.LUTData = values
    item["LUTData"].VR = "US"
    return Sequence([item])


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_eight_bits_are_left_as_they_are(syntax: str) -> None:
    pixels = np.arange(256).reshape(16, 16)
    grey = decoded(pixels, 8, syntax=syntax)
    assert grey.dtype == np.uint8
    assert np.array_equal(grey, pixels)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_the_stored_range_becomes_the_range_of_grey_whatever_the_image_uses_of_it(bits: int) -> None:
    top = 2**bits - 1
    grey = decoded(np.array([[0, top // 3, top]]), bits)
    assert grey.dtype == np.uint16
    assert np.array_equal(grey, [[0, round(65535 * (top // 3) / top), 65535]])
    narrow = decoded(np.array([[top // 3, top // 3, top // 3]]), bits)
    assert np.array_equal(narrow, np.full((1, 3), grey[0, 1]))


def test_monochrome1_is_inverted_so_that_dense_is_bright() -> None:
    assert np.array_equal(
        decoded(np.array([[0, 10, 255]]), 8, PhotometricInterpretation="MONOCHROME1"), [[255, 245, 0]]
    )
    straight = decoded(RAMP, 12).astype(int)
    inverted = decoded(RAMP, 12, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(inverted, 65535 - straight)


def test_signed_pixels_start_at_the_least_that_their_bits_allow() -> None:
    grey = decoded(np.array([[-2048, -1, 0, 2047]]), 12, signed=True)
    assert np.array_equal(grey, [[0, round(65535 * 2047 / 4095), round(65535 * 2048 / 4095), 65535]])


def test_rescaling_alone_changes_nothing_but_a_negative_slope_turns_the_picture_over() -> None:
    plain = decoded(RAMP, 12)
    assert np.array_equal(decoded(RAMP, 12, RescaleSlope=2.5, RescaleIntercept=-1024), plain)
    turned = decoded(RAMP, 12, RescaleSlope=-1, RescaleIntercept=4095)
    assert np.array_equal(turned, 65535 - plain.astype(int))


def window_by_hand(value: float, centre: float, width: float) -> float:
    """PS3.3, C.11.2.1.2.1, as the standard writes it."""
    if value <= centre - 0.5 - (width - 1) / 2:
        return 0.0
    if value > centre - 0.5 + (width - 1) / 2:
        return 1.0
    return (value - (centre - 0.5)) / (width - 1) + 0.5


def test_linear_window() -> None:
    grey = decoded(RAMP, 12, WindowCenter=2048, WindowWidth=2000)
    by_hand = [[round(65535 * window_by_hand(value, 2048, 2000)) for value in row] for row in RAMP.tolist()]
    assert np.array_equal(grey, by_hand)
    assert grey[0, 2] == 0
    assert grey[1, 1] == round(65535 * ((3000 - 2047.5) / 1999 + 0.5))


def test_window_is_in_rescaled_units() -> None:
    grey = decoded(RAMP, 12, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=3000, WindowWidth=4001)
    assert grey[0, 3] == round(65535 * ((2048 * 2 - 1000 - 2999.5) / 4000 + 0.5))


def test_window_then_inversion() -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 2000}
    straight = decoded(RAMP, 12, **window).astype(int)
    inverted = decoded(RAMP, 12, PhotometricInterpretation="MONOCHROME1", **window)
    assert np.abs(inverted - (65535 - straight)).max() <= 1  # a half rounds to even on both sides
    assert inverted[0, 0] == 65535
    assert inverted[1, 3] == 0


def test_first_window_of_several_is_taken() -> None:
    several = decoded(RAMP, 12, WindowCenter=[2048, 100], WindowWidth=[2000, 50])
    assert np.array_equal(several, decoded(RAMP, 12, WindowCenter=2048, WindowWidth=2000))
    assert not np.array_equal(several, decoded(RAMP, 12, WindowCenter=100, WindowWidth=50))


def test_other_window_functions() -> None:
    exact = decoded(RAMP, 12, WindowCenter=2048, WindowWidth=2000, VOILUTFunction="LINEAR_EXACT")
    assert exact[0, 3] == round(65535 * 0.5)
    assert exact[1, 1] == round(65535 * ((3000 - 2048) / 2000 + 0.5))
    sigmoid = decoded(RAMP, 12, WindowCenter=2048, WindowWidth=2000, VOILUTFunction="SIGMOID")
    assert sigmoid[1, 1] == round(65535 / (1 + np.exp(-4 * (3000 - 2048) / 2000)))
    with pytest.raises(ValueError, match="VOI LUT function 'CUBIC'"):
        decoded(RAMP, 12, WindowCenter=2048, WindowWidth=2000, VOILUTFunction="CUBIC")


@pytest.mark.parametrize(
    "window", [{"WindowCenter": 5, "WindowWidth": 0}, {"WindowCenter": "", "WindowWidth": ""}, {"WindowCenter": 5}]
)
def test_window_without_a_width_is_none(window: dict[str, Any]) -> None:
    assert np.array_equal(decoded(RAMP, 12, **window), decoded(RAMP, 12))


def test_window_of_width_one_is_a_threshold() -> None:
    assert np.array_equal(decoded(RAMP, 12, WindowCenter=2049, WindowWidth=1) > 0, RAMP > 2048)


def test_voi_lut_goes_before_a_window_and_is_held_at_its_ends() -> None:
    table = lut(1000, 10, [0, 100, 1023])
    grey = decoded(np.array([[0, 1000, 1001, 1002, 4000]]), 12, VOILUTSequence=table, WindowCenter=9, WindowWidth=9)
    assert np.array_equal(grey, [[0, 0, round(65535 * 100 / 1023), 65535, 65535]])


def test_lut_of_bytes() -> None:
    table = lut(0, 8, [0])
    table[0].LUTDescriptor = [4, 0, 8]
    table[0].LUTData = bytes([0, 51, 102, 255])
    table[0]["LUTData"].VR = "OW"
    assert np.array_equal(decoded(np.array([[0, 1, 2, 3]]), 8, VOILUTSequence=table), [[0, 51, 102, 255]])
    table[0].LUTData = np.array([0, 51, 102, 255], "<u2").tobytes()
    assert np.array_equal(decoded(np.array([[0, 1, 2, 3]]), 8, VOILUTSequence=table), [[0, 51, 102, 255]])


def test_modality_lut_goes_before_the_window() -> None:
    table = lut(0, 12, [4095, 1000, 0])
    table[0].ModalityLUTType = "US"
    plain = decoded(np.array([[0, 1, 2]]), 12, ModalityLUTSequence=table)
    assert np.array_equal(plain, [[65535, round(65535 * 1000 / 4095), 0]])
    windowed = decoded(np.array([[0, 1, 2]]), 12, ModalityLUTSequence=table, WindowCenter=1000.5, WindowWidth=101)
    assert np.array_equal(windowed, [[65535, round(65535 / 2), 0]])


def test_bits_above_the_stored_ones_hold_old_overlays_and_are_no_grey() -> None:
    assert np.array_equal(
        decoded(np.array([[4095, 4096, 60000]]), 12), decoded(np.array([[4095, 0, 60000 % 4096]]), 12)
    )


NOISE = np.random.default_rng(0).integers(0, 4096, (48, 40))


def with_jpeg2000(dataset: FileDataset) -> bytes:
    dataset.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg")
    return packed(dataset)


def with_run_lengths(dataset: FileDataset) -> bytes:
    dataset.compress(RLELossless, encoding_plugin="pydicom")
    return packed(dataset)


def with_gdcm(syntax: int) -> Callable[[FileDataset], bytes]:
    def compress(dataset: FileDataset) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            plain, small = Path(folder) / "plain.dcm", Path(folder) / "small.dcm"
            plain.write_bytes(packed(dataset))
            reader = gdcm.ImageReader()
            reader.SetFileName(str(plain))
            assert reader.Read()
            change = gdcm.ImageChangeTransferSyntax()
            change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
            change.SetInput(reader.GetImage())
            assert change.Change()
            writer = gdcm.ImageWriter()
            writer.SetFileName(str(small))
            writer.SetFile(reader.GetFile())
            writer.SetImage(change.GetOutput())
            assert writer.Write()
            return small.read_bytes()

    return compress


LOSSLESS = {
    "1.2.840.10008.1.2.4.90": with_jpeg2000,
    "1.2.840.10008.1.2.4.70": with_gdcm(gdcm.TransferSyntax.JPEGLosslessProcess14_1),
    "1.2.840.10008.1.2.4.57": with_gdcm(gdcm.TransferSyntax.JPEGLosslessProcess14),
    "1.2.840.10008.1.2.4.80": with_gdcm(gdcm.TransferSyntax.JPEGLSLossless),
    "1.2.840.10008.1.2.5": with_run_lengths,
}


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_compressions_give_the_same_picture(syntax: str, bits: int) -> None:
    pixels = NOISE % 256 if bits == 8 else NOISE * (2 ** (bits - 12))
    content = LOSSLESS[syntax](make(pixels, bits, PhotometricInterpretation="MONOCHROME1"))
    assert dcmread(io.BytesIO(content)).file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(decode_dicom(content), decoded(pixels, bits, PhotometricInterpretation="MONOCHROME1"))


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.70"])
def test_signed_pixels_survive_compression(syntax: str) -> None:
    pixels = NOISE - 2048
    content = LOSSLESS[syntax](make(pixels, 12, signed=True))
    assert np.array_equal(decode_dicom(content), decoded(pixels, 12, signed=True))


def baseline(blocks: NDArray[Any]) -> bytes:
    """An 8-bit JPEG baseline file as RSNA has them, of flat blocks, which the compression barely changes."""
    file = io.BytesIO()
    Image.fromarray(blocks.astype(np.uint8)).save(file, "JPEG", quality=100)
    dataset = make(blocks, 8, ConversionType="WSD")
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([file.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    return packed(dataset)


BLOCKS = np.kron(np.array([[0, 60, 120], [180, 240, 255]]), np.ones((8, 8), int))


def test_jpeg_baseline() -> None:
    grey = decode_dicom(baseline(BLOCKS))
    assert grey.dtype == np.uint8
    assert np.abs(grey.astype(int) - BLOCKS).max() <= 1


def test_decoding_in_threads_gives_the_same_pictures() -> None:
    contents = [baseline(BLOCKS), with_jpeg2000(make(NOISE, 12)), LOSSLESS["1.2.840.10008.1.2.4.70"](make(NOISE, 12))]
    expected = [decode_dicom(content) for content in contents]
    with ThreadPoolExecutor(4) as threads:
        for place, grey in enumerate(threads.map(decode_dicom, contents * 10)):
            assert np.array_equal(grey, expected[place % 3])


def test_what_is_no_picture() -> None:
    with pytest.raises(ValueError, match=r"^not a DICOM file$"):
        decode_dicom(b"\x89PNG" + b"\0" * 200)
    with pytest.raises(ValueError, match="not a DICOM file"):
        decode_dicom(b"")
    bare = make(RAMP, 12)
    del bare.PixelData
    with pytest.raises(ValueError, match=r"^DICOM without pixel data$"):
        decode_dicom(packed(bare))
    with pytest.raises(ValueError, match="DICOM of 2 frames: only single images"):
        decoded(RAMP, 12, NumberOfFrames=2)
    assert np.array_equal(decoded(RAMP, 12, NumberOfFrames=1), decoded(RAMP, 12))
    with pytest.raises(ValueError, match="DICOM of RGB pixels"):
        decoded(RAMP, 12, PhotometricInterpretation="RGB")
    with pytest.raises(ValueError, match="range from 7 to 7"):
        decoded(RAMP, 12, RescaleSlope=0, RescaleIntercept=7)


def test_damage_is_a_value_error() -> None:
    whole = packed(make(RAMP, 12))
    with pytest.raises(ValueError, match="12 vs 16 bytes"):
        decode_dicom(whole[:-4])
    headless = make(RAMP, 12)
    del headless.Rows
    with pytest.raises(ValueError, match=r"^damaged DICOM: .*Rows"):
        decode_dicom(packed(headless))
    torn = LOSSLESS["1.2.840.10008.1.2.4.90"](make(NOISE, 12))
    with pytest.raises(ValueError, match="DICOM without pixel data"):  # the torn element is dropped as it is read
        decode_dicom(torn[: len(torn) // 2])
    junk = dcmread(io.BytesIO(torn))
    junk.PixelData = encapsulate([b"no JPEG 2000"])
    with pytest.raises(ValueError, match=r"^damaged DICOM: Unable to decode"):
        decode_dicom(packed(junk))


def test_compression_that_nothing_reads_is_named() -> None:
    video = make(RAMP, 12)
    video.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
    video.PixelData = encapsulate([b"\0\0"])
    video["PixelData"].is_undefined_length = True
    with pytest.raises(ValueError, match=r"transfer syntax 'MPEG2.*1\.2\.840\.10008\.1\.2\.4\.100.*decompress"):
        decode_dicom(packed(video))


def test_decoder_that_is_not_installed_is_named_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    content = with_jpeg2000(make(NOISE, 12))
    from pydicom.pixels.decoders import JPEG2000LosslessDecoder

    without = {name: value for name, value in JPEG2000LosslessDecoder._available.items() if name != "pylibjpeg"}
    assert without  # Pillow's and gdcm's stay, and must not stand in
    monkeypatch.setattr(JPEG2000LosslessDecoder, "_available", without)
    with pytest.raises(ValueError, match=r"JPEG 2000.*not installed: pip install 'salad-bench\[dicom\]'"):
        decode_dicom(content)


def test_without_pydicom_the_fix_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = packed(make(RAMP, 12))
    (tmp_path / "x.dcm").write_bytes(content)
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name == "pydicom":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    for call in (lambda: decode_dicom(content), lambda: dicom_attributes(tmp_path / "x.dcm")):
        with pytest.raises(ValueError, match=r"needs pydicom: pip install 'salad-bench\[dicom\]'"):
            call()


def test_importing_the_module_leaves_pydicom_alone() -> None:
    code = "import sys, bench.data.dicom, bench.data.sets.rsna, bench.data.sets.vindr; print('pydicom' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_is_dicom() -> None:
    assert is_dicom(packed(make(RAMP, 12)))
    assert not is_dicom(b"DICM")
    assert not is_dicom(b"\0" * 200)


@pytest.mark.parametrize(
    ("age", "years"),
    [("063Y", "63"), ("63", "63"), ("030M", "2"), ("010D", "0"), ("155", None), ("old", None), ("", None)],
)
def test_attributes_of_a_header(tmp_path: Path, age: str, years: str | None) -> None:
    path = tmp_path / "x.dcm"
    dataset = make(RAMP, 12, PatientSex="F", ViewPosition="PA")
    dataset.add_new("PatientAge", "LO", age)  # not AS, whose form pydicom would insist on
    path.write_bytes(packed(dataset).replace(b"\x10\x00\x10\x10LO", b"\x10\x00\x10\x10AS"))
    expected = {"sex": "F", "view": "PA"} | ({"age": years} if years else {})
    assert dicom_attributes(path) == expected


def test_attributes_need_no_pixels_and_unknown_ones_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(packed(make(RAMP, 12, PatientSex="U", PatientAge="", ViewPosition=""))[:-8])
    assert dicom_attributes(path) == {}
    path.write_bytes(b"no DICOM at all")
    assert dicom_attributes(path) == {}
    with pytest.raises(OSError, match=r"gone\.dcm"):
        dicom_attributes(tmp_path / "gone.dcm")


def test_every_compression_that_is_read_has_a_decoder_here() -> None:
    from pydicom.pixels.decoders.base import get_decoder

    for syntax, plugin in dicom.PLUGINS.items():
        assert plugin in get_decoder(syntax).available_plugins
