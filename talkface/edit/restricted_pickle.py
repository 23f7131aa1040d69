"""Reading tensors out of NVIDIA's pickles without running anything that a pickle can ask for.

A pickle is a program: it names callables and applies them. This reader knows the few names that StyleGAN2 files need
and replaces each by a function of its own that builds a tensor, an array or a plain container; any other name ends the
reading with `WeightsError` before anything is called. Source code that the files carry is kept as text and not run.
What a pickle may cost is bounded by the file's own size: tensors never hold more than their bytes in it, and the memo
is a dictionary (the C reader's is an array as long as the largest index).

    torch_utils.persistence._reconstruct_persistent_obj -> PickledModule (parameters, buffers, submodules)
    torch._utils._rebuild_tensor_v2, _rebuild_parameter, torch.storage._load_from_bytes -> tensors
    dnnlib.tflib.network.Network, numpy's array constructors -> PickledTfNetwork and arrays (the TensorFlow files)
"""

from __future__ import annotations

import io
import math
import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, TypeGuard, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.errors import WeightsError

MAX_PICKLE_BYTES = 2 << 30
MAX_NETWORKS = 4096
"""Modules of one file; the largest official one has about 200."""
MAX_DEPTH = 32
_ARRAY_DTYPES = {"f2": np.float16, "f4": np.float32, "f8": np.float64, "i4": np.int32, "i8": np.int64, "b1": np.bool_}


class EasyDict(dict[str, Any]):
    """What dnnlib's dictionaries become; filled by the pickle's own opcodes, because a copy costs it nothing."""

    def __init__(self, *content: object) -> None:
        if content:
            raise WeightsError("pickle: a dictionary is not made from another")


class PickledOrderedDict(OrderedDict[Any, Any]):
    """An OrderedDict, filled in the same way."""

    def __init__(self, *content: object) -> None:
        if content:
            raise WeightsError("pickle: a dictionary is not made from another")
        super().__init__()


class PickledModule:
    """A torch module as its pickle describes it: names and tensors, no code."""

    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        self.class_name = class_name
        self._state = state

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Parameters and buffers of this module and those below it, named as in a state dict.

        Raises:
            WeightsError: modules within modules without an end.
        """
        for prefix, module in _walk(self, lambda module: _entries(module._state, "_modules"), "."):
            for group in ("_parameters", "_buffers"):
                for name, tensor in _entries(module._state, group):
                    if isinstance(tensor, Tensor):
                        yield f"{prefix}{name}", tensor


class PickledTfNetwork:
    """A network of the TensorFlow releases: `variables` is its list of (name, array)."""

    def __init__(self) -> None:
        self._state: dict[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            raise WeightsError("pickle: a network's state is not a dictionary")
        self._state = state

    def named_arrays(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Variables of this network and its components; components' names are prefixed by theirs.

        Raises:
            WeightsError: components within components without an end, or a damaged array.
        """
        for prefix, network in _walk(self, lambda network: _entries(network._state, "components"), "/"):
            variables = network._state.get("variables")
            for entry in variables if isinstance(variables, list) else []:
                if isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[1], PickledArray):
                    yield f"{prefix}{entry[0]}", entry[1].to_numpy()


class PickledArray:
    """A numpy array before it is built; numpy itself is not called by the pickle."""

    def __init__(self, *_: object) -> None:
        self._parts: tuple[Any, ...] = ()

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise WeightsError("pickle: an array's state is not understood")
        self._parts = state

    def to_numpy(self) -> NDArray[Any]:
        """The array, read-only.

        Raises:
            WeightsError: of a type other than plain numbers, or its bytes do not fill its shape.
        """
        if not self._parts:
            raise WeightsError("pickle: an array has no content")
        _, shape, dtype, is_fortran, content = self._parts
        code = dtype.code if isinstance(dtype, PickledDtype) else None
        if code not in _ARRAY_DTYPES or not isinstance(content, bytes) or not _is_shape(shape):
            raise WeightsError(f"pickle: an array of type {code!r} is not a plain one")
        try:
            flat: NDArray[Any] = np.frombuffer(content, dtype=_ARRAY_DTYPES[code])
            return flat.reshape(shape, order="F" if is_fortran else "C")
        except ValueError as error:
            raise WeightsError(f"pickle: damaged array ({error})") from None


class PickledDtype:
    """The name of an array's element type."""

    def __init__(self, code: object = None, *_: object) -> None:
        self.code = code if isinstance(code, str) else None

    def __setstate__(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order == ">":
            raise WeightsError("pickle: big-endian arrays are not supported")


def read_restricted_pickle(path: Path) -> Any:
    """The content of a StyleGAN2 pickle: plain containers, tensors, and the classes of this file.

    Raises:
        WeightsError: cannot be read, damaged, or names something that such a file has no need of.
    """
    try:
        size = path.stat().st_size
        if size > MAX_PICKLE_BYTES:
            raise WeightsError(f"{path}: {size} bytes, over {MAX_PICKLE_BYTES}")
        with path.open("rb") as file:
            return _RestrictedUnpickler(_BoundedFile(file, size), size).load()
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot read ({error.strerror})") from None
    except Exception as error:  # the pickle machine raises nearly anything on damaged input; no foreign code has run
        raise WeightsError(f"{path}: damaged pickle ({type(error).__name__}: {error})") from None


class _BoundedFile:
    """A file that is never asked for more than it has: a length in a pickle is allocated before it is read."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def read(self, count: int) -> bytes:
        return self._took(self._file.read(min(count, self._left)))

    def readline(self) -> bytes:
        return self._took(self._file.readline(self._left))

    def _took(self, data: bytes) -> bytes:
        self._left -= len(data)
        return data


_BUILD: Callable[[Any], None] = pickle._Unpickler.dispatch[pickle.BUILD[0]]


# The machine in Python, whose memo is a dictionary: the C one's is an array as long as the largest index.
class _RestrictedUnpickler(pickle._Unpickler):
    """Resolves only the names in `_KNOWN`; changes only objects of its own making."""

    stack: list[Any]
    dispatch: ClassVar[dict[int, Any]] = {**pickle._Unpickler.dispatch}

    def __init__(self, file: _BoundedFile, size: int) -> None:
        super().__init__(file)
        self._storage_bytes = size
        """What storages may still hold: each is in the file once."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return self._load_storage
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise WeightsError(
                f"refused: the pickle wants to use {module}.{name}, which no StyleGAN2 checkpoint needs"
            ) from None

    def persistent_load(self, pid: object) -> Any:
        raise WeightsError("refused: the pickle refers to objects outside itself")

    def load_build(self) -> None:
        """BUILD, on what a pickle may have state for; on a class or function it would change this program."""
        if type(self.stack[-2]) not in _BUILDABLE:
            raise WeightsError(f"refused: the pickle sets the state of a {type(self.stack[-2]).__name__}")
        _BUILD(self)

    dispatch[pickle.BUILD[0]] = load_build
    for _opcode in (pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER):
        del dispatch[_opcode[0]]  # not in such files, and the first allocates whatever length it is told

    def _load_storage(self, content: object) -> torch.UntypedStorage | torch.TypedStorage:
        """Stands for torch.storage._load_from_bytes: torch's own weights-only reader, storages only."""
        if not isinstance(content, bytes):
            raise WeightsError("pickle: a storage is not bytes")
        self._storage_bytes -= len(content)
        if self._storage_bytes < 0:
            raise WeightsError("refused: the pickle loads the same storage over and over")
        return _read_storage(content)


def _persistent_object(meta: object) -> PickledModule | EasyDict:
    """Stands for torch_utils.persistence: the class's source stays text, only its state is used."""
    if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict | None):
        raise WeightsError("pickle: a persistent object without state")
    name = meta.get("class_name")
    return PickledModule(name if isinstance(name, str) else "", meta.get("state") or {})


def _read_storage(content: bytes) -> torch.UntypedStorage | torch.TypedStorage:
    check_archive(io.BytesIO(content), len(content))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unusual pickle protocols, before it fails
            storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types here; the message is all that matters
        raise WeightsError(f"refused: a storage that torch's weights-only reader does not accept ({error})") from None
    if not isinstance(storage, torch.UntypedStorage | torch.TypedStorage):
        raise WeightsError("pickle: a storage of another type")
    return storage


def check_archive(file: BinaryIO, size: int) -> None:
    """Refuse a zip file whose entries would unpack to more than the file: torch writes them as they are.

    Raises:
        WeightsError: it is such a file, or a damaged one. Files of other kinds pass.
    """
    if file.read(2) != b"PK":
        return
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise WeightsError(f"damaged zip file ({error})") from None
    if unpacked > size:
        raise WeightsError(f"refused: a zip file of {size} bytes that unpacks to {unpacked}")


def _rebuild_tensor(storage: object, offset: object, size: object, stride: object, *_: object) -> Tensor:
    """Stands for torch._utils._rebuild_tensor_v2; a view, whose bounds torch checks."""
    if not isinstance(storage, torch.TypedStorage) or not _is_shape(size) or not _is_shape(stride):
        raise WeightsError("pickle: a tensor is not understood")
    untyped = storage._untyped_storage
    if math.prod(size) > untyped.nbytes() // storage.dtype.itemsize:
        raise WeightsError(f"pickle: a tensor of {math.prod(size)} values in a storage of {untyped.nbytes()} bytes")
    flat = torch.tensor([], dtype=storage.dtype).set_(untyped)
    return torch.as_strided(flat, size, stride, offset)  # type: ignore[arg-type]  # checked by as_strided


def _rebuild_parameter(tensor: object, *_: object) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise WeightsError("pickle: a parameter is not a tensor")
    return tensor


def _reconstruct_array(*_: object) -> PickledArray:
    return PickledArray()


def _named(text: str) -> Callable[..., str]:
    """A constant such as torch.float32 becomes its name; a str subclass instance cannot be called to any effect."""
    return _Name(text)  # type: ignore[return-value]  # the unpickler pushes it as a value


class _Name(str):
    """Name of a constant in a pickle."""

    __slots__ = ()


_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): PickledOrderedDict,
    ("dnnlib.util", "EasyDict"): EasyDict,
    ("dnnlib", "EasyDict"): EasyDict,
    ("dnnlib.tflib.network", "Network"): PickledTfNetwork,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent_object,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): PickledDtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct_array for core in ("core", "_core")},
    **{("torch", name): _named(f"torch.{name}") for name in ("float16", "float32", "float64", "int64", "uint8")},
}

_BUILDABLE = (EasyDict, PickledOrderedDict, PickledModule, PickledTfNetwork, PickledArray, PickledDtype)

N = TypeVar("N", PickledModule, PickledTfNetwork)


def _walk(root: N, parts: Callable[[N], list[tuple[str, Any]]], separator: str) -> Iterator[tuple[str, N]]:
    """A network and those within it, with the prefixes of their names; the same one may be met on several ways.

    Raises:
        WeightsError: too many or too deep: a pickle can make a network a part of itself.
    """
    left = MAX_NETWORKS
    waiting: list[tuple[str, int, N]] = [("", 0, root)]
    while waiting:
        prefix, depth, network = waiting.pop()
        left -= 1
        if left < 0 or depth > MAX_DEPTH:
            raise WeightsError(f"pickle: over {MAX_NETWORKS} networks within each other, or deeper than {MAX_DEPTH}")
        yield prefix, network
        inner = [(f"{prefix}{name}{separator}", depth + 1, part) for name, part in parts(network)]
        waiting += [entry for entry in reversed(inner) if isinstance(entry[2], type(root))]


def _entries(state: dict[str, Any], group: str) -> list[tuple[str, Any]]:
    entries = state.get(group)
    return [(str(k), v) for k, v in entries.items()] if isinstance(entries, dict) else []


def _is_shape(value: object) -> TypeGuard[tuple[int, ...]]:
    return isinstance(value, tuple) and len(value) <= 8 and all(type(n) is int and 0 <= n < 1 << 31 for n in value)
