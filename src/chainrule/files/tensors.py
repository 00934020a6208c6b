"""Arrays in a safetensors file: what its header claims is held against the file before anything is allocated.

    file ::= length of the header (8 bytes, little-endian), header (JSON), the arrays' bytes, one after the other
    header ::= {"__metadata__": {name: text}, name: {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}}

The arrays are read straight into the memory that the caller has for them.  Nothing in such a file is ever run.
"""

from __future__ import annotations

import contextlib
import math
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError, shown
from chainrule.files import strict_json
from chainrule.files.disk import describe_os_error, replace_file
from chainrule.files.fields import AnyValue, Listed, Object, Text, Whole

METADATA = "__metadata__"
LONGEST = 1 << 24
"""Bytes of a header: some ten thousand layers, each with a formula of its own."""
DTYPES: Mapping[str, str] = {"F32": "float32", "F64": "float64", "U8": "uint8", "U64": "uint64", "I64": "int64"}
"""Of an array, by the file's word for it."""
_AXES, _LARGEST = 4, 1 << 48
_TENSOR = Object(
    {
        "dtype": Text(tuple(DTYPES), what="dtype"),
        "shape": Listed(Whole(0, _LARGEST), 0, _AXES),
        "data_offsets": Listed(Whole(0, _LARGEST), 2, 2),
    }
)


@dataclass(frozen=True)
class Tensor:
    """An array in a file."""

    dtype: str
    """NumPy's name of it."""
    shape: tuple[int, ...]
    """Of at most four axes."""
    begin: int
    """Its first byte, counted from that after the header."""

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """The number of bytes."""
        return self.size * np.dtype(self.dtype).itemsize


class TensorFile:
    """An open file whose header has been checked."""

    def __init__(
        self, path: Path, stream: FileIO, metadata: Mapping[str, str], tensors: Mapping[str, Tensor], start: int
    ) -> None:
        self.path = path
        self.metadata = metadata
        """Texts by name."""
        self.tensors = tensors
        """By name, in the order of the names."""
        self._stream = stream
        self._start = start

    def read(self, name: str, into: NDArray[Any]) -> None:
        """Reads an array into one of its shape and dtype, whose elements lie one after the other."""
        tensor = self.tensors[name]
        assert into.shape == tensor.shape and into.dtype == tensor.dtype and into.flags.c_contiguous
        if not into.size:
            return
        try:
            self._stream.seek(self._start + tensor.begin)
            read = self._stream.readinto(into.reshape(-1).view(np.uint8).data)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {describe_os_error(error)}.") from None
        if read != tensor.bytes:
            raise DataError(f"{self.path} became shorter while it was read.")
        if sys.byteorder == "big":
            into.byteswap(inplace=True)


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], what: str, *, key: str) -> Iterator[TensorFile]:
    """The file, open for reading.

    what: what it should be, for messages ("a network").  key: of the metadata, by which it is known to be chainrule's.
    Raises DataError where it cannot be read, is something else, or claims what it does not hold.
    """
    path = Path(path)
    refusal = f"{path} is not {what} saved by chainrule"
    with contextlib.ExitStack() as stack:
        try:
            # A pipe of that name must not keep the reader waiting.
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
            stream = stack.enter_context(open(handle, "rb", buffering=0))
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode):
                raise DataError(f"{refusal}: it is no file.")
            file = _checked(path, stream, about.st_size, refusal, key)
        except FileNotFoundError:
            raise DataError(f"{path} cannot be read: there is no such file.") from None
        except OSError as error:
            reason = "it is a folder" if path.is_dir() else describe_os_error(error)
            raise DataError(f"{path} cannot be read: {reason}.") from None
        yield file


def _checked(path: Path, stream: FileIO, size: int, refusal: str, key: str) -> TensorFile:
    length = int.from_bytes(stream.read(8), "little")
    if size < 8 or length > size - 8:
        raise DataError(f"{refusal}: its header claims {length:,} bytes of a file of {size:,}.")
    if length > LONGEST:
        raise DataError(f"{refusal}: its header claims {length:,} bytes; {LONGEST:,} are the most.")
    header = Object({METADATA: AnyValue()}, others=True)
    try:
        value = strict_json.loads(stream.read(length), f"{path}: header", longest=LONGEST)
        metadata = header.read(value, f"{path}: header")[METADATA]
    except DataError as fault:
        raise DataError(f"{refusal}: {str(fault).removeprefix(f'{path}: ')}") from None
    if not isinstance(metadata, dict) or not isinstance(metadata.get(key), str):
        raise DataError(f"{refusal}: its metadata do not say so.")
    place = f"{path}: header"
    texts = {name: Text(longest=LONGEST).read(text, f"{place}[{shown(name)}]") for name, text in metadata.items()}
    tensors = {name: _tensor(value[name], f"{place}[{shown(name)}]") for name in sorted(value) if name != METADATA}
    _check_offsets(path, list(tensors.items()), size - 8 - length)
    return TensorFile(path, stream, texts, {name: tensor for name, (tensor, _) in tensors.items()}, 8 + length)


def _tensor(value: object, place: str) -> tuple[Tensor, int]:
    """The array and where it ends."""
    record = _TENSOR.read(value, place)
    begin, end = record["data_offsets"]
    tensor = Tensor(DTYPES[record["dtype"]], record["shape"], begin)
    if end - begin != tensor.bytes:
        shape = list(tensor.shape)
        raise DataError(f"{place}: claims {end - begin:,} bytes, but {tensor.dtype} {shape} has {tensor.bytes:,}.")
    return tensor, end


def _check_offsets(path: Path, tensors: list[tuple[str, tuple[Tensor, int]]], size: int) -> None:
    """One array after the other, from the first byte to the last."""
    at = 0
    for name, (tensor, end) in sorted(tensors, key=lambda t: (t[1][0].begin, t[1][1])):
        if tensor.begin != at:
            fault = "begins before the one before it ends" if tensor.begin < at else "leaves bytes before it unused"
            raise DataError(f"{path}: the array {shown(name)} {fault}.")
        at = end
    if at != size:
        raise DataError(f"{path}: holds {size:,} bytes of arrays, but its header claims {at:,}.")


def write(path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Writes the arrays with safetensors' own writer, beside the path first.  Raises DataError.

    Of metadata only one name keeps a file's bytes the same: the writer puts several in any order.
    """
    from safetensors.numpy import save as to_bytes

    content = to_bytes({name: np.asarray(array, order="C") for name, array in arrays.items()}, dict(metadata))
    replace_file(path, lambda temporary: temporary.write_bytes(content))
