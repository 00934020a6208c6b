"""IDX files, the format of MNIST, and a folder of the four that make such a data set.

An IDX file: two zero bytes, a byte for the type, a byte for the rank r, r sizes of 4 bytes, then the values in C order;
everything big-endian.  Source: the description on LeCun, Cortes and Burges, The MNIST database (1998).
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from chainrule.data.dataset import Dataset
from chainrule.data.targets import TargetEncoder
from chainrule.errors import DataError
from chainrule.files import open_binary

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

_PART = 1 << 24

_PARTS = {"train": "training", "t10k": "test"}


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array of an IDX file, plain or gzip, in the machine's byte order.

    Raises DataError for a file that cannot be read, is no IDX file, or is shorter or longer than its header says.
    """
    with open_binary(path) as stream:
        magic = stream.read(4)
        if len(magic) < 4:
            raise DataError(f"{path}: {'the file is empty' if not magic else 'the header is cut short'}.")
        zeros, code, rank = struct.unpack(">HBB", magic)
        if zeros != 0 or code not in _TYPES or rank == 0:
            raise DataError(f"{path}: is no IDX file; it begins with the bytes {magic.hex(' ')}.")
        header = stream.read(4 * rank)
        if len(header) < 4 * rank:
            raise DataError(f"{path}: the header is cut short.")
        shape = struct.unpack(f">{rank}I", header)
        dtype = np.dtype(_TYPES[code])
        size = math.prod(shape) * dtype.itemsize
        raw = _read_at_most(stream, size + 1)
    if len(raw) != size:
        have = "more" if len(raw) > size else f"{len(raw):,}"
        raise DataError(f"{path}: the header says {shape}, {size:,} bytes of values; the file has {have}.")
    values = np.frombuffer(raw, dtype=dtype).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def _read_at_most(stream: BinaryIO, size: int) -> bytes:
    """Up to `size` bytes, taken in parts: a damaged header may ask for more memory than there is."""
    parts: list[bytes] = []
    while size > 0 and (part := stream.read(min(size, _PART))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def load_mnist(folder: str | os.PathLike[str]) -> Dataset:
    """MNIST, or a set in its form (Fashion-MNIST, KMNIST), from a folder of IDX files.

    Reads train-images-idx3-ubyte and train-labels-idx1-ubyte, and t10k-... as the test part where they are there;
    plain or .gz, also with a dot before "idx".  X: (m, rows · columns) float32, unsigned bytes scaled to 0..1.
    Raises DataError for files that are missing, damaged, or do not belong together.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder.")
    X, y, image = _read_part(folder, "train")
    X_test, y_test = None, None
    if any(_find(folder, "t10k", what) for what in ("images-idx3", "labels-idx1")):
        X_test, y_test, _ = _read_part(folder, "t10k")
        if y_test.max() > y.max():
            raise DataError(f"{folder}: the test labels go to {y_test.max()}, those to train with only to {y.max()}.")
    names = tuple(str(label) for label in range(int(y.max()) + 1))
    features = tuple(f"pixel {i}" for i in range(X.shape[1]))
    return Dataset(
        X, y, features, TargetEncoder("classification", names), folder.resolve().name, X_test, y_test, image=image
    )


def images_to_rows(images: NDArray[Any], path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """Images (m, rows, columns), or rows already, as (m, n) float32; unsigned bytes scaled to 0..1."""
    if images.ndim < 2 or images.size == 0:
        raise DataError(f"{path}: holds no images; its shape is {images.shape}.")
    rows = images.reshape(len(images), -1).astype(np.float32)
    return rows / np.float32(255) if images.dtype == np.uint8 else rows


def image_of(images: NDArray[Any]) -> tuple[int, int] | None:
    """(height, width) of images (m, rows, columns); None for samples of another form."""
    return (images.shape[1], images.shape[2]) if images.ndim == 3 else None


def _find(folder: Path, part: str, what: str) -> Path | None:
    kind, form = what.split("-")
    for joint in ("-", "."):
        for suffix in ("", ".gz"):
            path = folder / f"{part}-{kind}{joint}{form}-ubyte{suffix}"
            if path.is_file():
                return path
    return None


def _read_part(folder: Path, part: str) -> tuple[NDArray[np.float32], NDArray[np.int64], tuple[int, int] | None]:
    """(X, labels, (height, width) of the images)."""
    images_path, labels_path = _find(folder, part, "images-idx3"), _find(folder, part, "labels-idx1")
    if images_path is None or labels_path is None:
        absent = [
            f"{part}-{what}-ubyte" for what in ("images-idx3", "labels-idx1") if _find(folder, part, what) is None
        ]
        raise DataError(f"{folder}: the {_PARTS[part]} part lacks {' and '.join(absent)} (plain or .gz).")
    images, labels = read_idx(images_path), read_idx(labels_path)
    if labels.ndim != 1 or labels.dtype.kind not in "ui" or (labels.size and labels.min() < 0):
        raise DataError(f"{labels_path}: must hold one label from 0 on for each image; its shape is {labels.shape}.")
    X = images_to_rows(images, images_path)
    if len(X) != len(labels):
        raise DataError(f"{folder}: {images_path.name} has {len(X)} images, {labels_path.name} {len(labels)} labels.")
    return X, labels.astype(np.int64), image_of(images)
