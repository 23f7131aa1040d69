"""Reading tensors out of NVIDIA's pickles without running anything that a pickle can ask for.

A pickle is a program: it names callables and applies them. This reader knows the few names that StyleGAN2 files need
and replaces each by a function of its own that builds a tensor, an array or a plain container; any other name ends the
reading with `WeightsError` before anything is called. Source code that the files carry is kept as text and not run.

    torch_utils.persistence._reconstruct_persistent_obj -> PickledModule (parameters, buffers, submodules)
    torch._utils._rebuild_tensor_v2, _rebuild_parameter, torch.storage._load_from_bytes -> tensors
    dnnlib.tflib.network.Network, numpy's array constructors -> PickledTfNetwork and arrays (the TensorFlow files)
"""

from __future__ import annotations

import io
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.errors import WeightsError

MAX_PICKLE_BYTES = 2 << 30
_ARRAY_DTYPES = {"f2": np.float16, "f4": np.float32, "f8": np.float64, "i4": np.int32, "i8": np.int64, "b1": np.bool_}


class EasyDict(dict[str, Any]):
    """What dnnlib's dictionaries become."""


class PickledModule:
    """A torch module as its pickle describes it: names and tensors, no code."""

    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        self.class_name = class_name
        self._state = state

    def named_tensors(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Parameters and buffers of this module and those below it, named as in a state dict."""
        for group in ("_parameters", "_buffers"):
            for name, tensor in _entries(self._state, group):
                if isinstance(tensor, Tensor):
                    yield f"{prefix}{name}", tensor
        for name, module in _entries(self._state, "_modules"):
            if isinstance(module, PickledModule):
                yield from module.named_tensors(f"{prefix}{name}.")


class PickledTfNetwork:
    """A network of the TensorFlow releases: `variables` is its list of (name, array)."""

    def __init__(self) -> None:
        self._state: dict[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            raise WeightsError("pickle: a network's state is not a dictionary")
        self._state = state

    def named_arrays(self, prefix: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
        """Variables of this network and its components; components' names are prefixed by theirs."""
        for entry in self._state.get("variables", []):
            if isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[1], PickledArray):
                yield f"{prefix}{entry[0]}", entry[1].to_numpy()
        components = self._state.get("components", {})
        for name, component in components.items() if isinstance(components, dict) else ():
            if isinstance(component, PickledTfNetwork):
                yield from component.named_arrays(f"{prefix}{name}/")


class PickledArray:
    """A numpy array before it is built; numpy itself is not called by the pickle."""

    def __init__(self, *_: object) -> None:
        self._parts: tuple[Any, ...] = ()

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise WeightsError("pickle: an array's state is not understood")
        self._parts = state

    def to_numpy(self) -> NDArray[Any]:
        """The array, a copy.

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
            return flat.reshape(shape, order="F" if is_fortran else "C").copy()
        except ValueError as error:
            raise WeightsError(f"pickle: damaged array ({error})") from None


class PickledDtype:
    """The name of an array's element type."""

    def __init__(self, code: object = None, *_: object) -> None:
        self.code = str(code)

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
            return _RestrictedUnpickler(file).load()
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot read ({error.strerror})") from None
    # The pickle machine raises nearly anything on damaged input; none of it has run foreign code.
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise WeightsError(f"{path}: damaged pickle ({error})") from None
    except (RuntimeError, MemoryError, OverflowError, RecursionError) as error:
        raise WeightsError(f"{path}: damaged pickle ({type(error).__name__})") from None


class _RestrictedUnpickler(pickle.Unpickler):
    """Resolves only the names in `_KNOWN`."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise WeightsError(
                f"refused: the pickle wants to use {module}.{name}, which no StyleGAN2 checkpoint needs"
            ) from None

    def persistent_load(self, pid: object) -> Any:
        raise WeightsError("refused: the pickle refers to objects outside itself")


def _persistent_object(meta: object) -> PickledModule | EasyDict:
    """Stands for torch_utils.persistence: the class's source stays text, only its state is used."""
    if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict | None):
        raise WeightsError("pickle: a persistent object without state")
    return PickledModule(str(meta.get("class_name")), meta.get("state") or {})


def _load_storage(content: object) -> torch.UntypedStorage | torch.TypedStorage:
    """Stands for torch.storage._load_from_bytes: torch's own weights-only reader, storages only."""
    if not isinstance(content, bytes):
        raise WeightsError("pickle: a storage is not bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unusual pickle protocols, before it fails
            storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types here; the message is all that matters
        raise WeightsError(f"refused: a storage that torch's weights-only reader does not accept ({error})") from None
    if not isinstance(storage, torch.UntypedStorage | torch.TypedStorage):
        raise WeightsError("pickle: a storage of another type")
    return storage


def _rebuild_tensor(storage: object, offset: object, size: object, stride: object, *_: object) -> Tensor:
    """Stands for torch._utils._rebuild_tensor_v2; copies, so that nothing lies outside the storage."""
    if not isinstance(storage, torch.TypedStorage) or not _is_shape(size) or not _is_shape(stride):
        raise WeightsError("pickle: a tensor is not understood")
    flat = torch.tensor([], dtype=storage.dtype).set_(storage._untyped_storage)
    return torch.as_strided(flat, size, stride, offset).clone()  # type: ignore[arg-type]  # checked by as_strided


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
    ("collections", "OrderedDict"): OrderedDict,
    ("dnnlib.util", "EasyDict"): EasyDict,
    ("dnnlib", "EasyDict"): EasyDict,
    ("dnnlib.tflib.network", "Network"): PickledTfNetwork,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent_object,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch.storage", "_load_from_bytes"): _load_storage,
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): PickledDtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct_array for core in ("core", "_core")},
    **{("torch", name): _named(f"torch.{name}") for name in ("float16", "float32", "float64", "int64", "uint8")},
}


def _entries(state: dict[str, Any], group: str) -> list[tuple[str, Any]]:
    entries = state.get(group)
    return [(str(k), v) for k, v in entries.items()] if isinstance(entries, dict) else []


def _is_shape(value: object) -> bool:
    return isinstance(value, tuple) and len(value) <= 8 and all(type(n) is int and 0 <= n < 1 << 31 for n in value)
