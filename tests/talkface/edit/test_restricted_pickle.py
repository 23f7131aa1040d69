"""Pickles that ask for more than they hold: an error within a second and 200 MB."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from bounded_child import refusals

from talkface.edit.restricted_pickle import check_archive, read_restricted_pickle
from talkface_core.errors import WeightsError


def _storage(num_values: int) -> bytes:
    """The inner pickle of a float storage."""
    buffer = io.BytesIO()
    torch.save(
        torch.TypedStorage(num_values, dtype=torch.float32, _internal=True),
        buffer,
        _use_new_zipfile_serialization=False,
    )
    return buffer.getvalue()


LOAD = b"ctorch.storage\n_load_from_bytes\n"


def _bytes(content: bytes) -> bytes:
    return b"B" + len(content).to_bytes(4, "little") + content


def _stride_0() -> bytes:
    """_rebuild_tensor_v2(storage of 4 values, 0, (2**30, 2**10), (0, 0), ...)."""
    storage = LOAD + _bytes(_storage(4)) + b"\x85R"
    return b"\x80\x03ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0J\0\0\0\x40M\0\x04\x86K\0K\0\x86NNtR."


def _memo_index() -> bytes:
    return b"\x80\x03Nr\xff\xff\xff\xff."


def _long_bytearray() -> bytes:
    return b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"abc."


def _long_bytes() -> bytes:
    return b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b"abc."


def _one_storage_many_times() -> bytes:
    again = LOAD + b"h\0\x85R"
    return b"\x80\x03" + _bytes(_storage(1 << 20)) + b"q\0](" + again * 500 + b"e."


def _zip_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(300 << 20))
    return b"\x80\x03" + LOAD + _bytes(buffer.getvalue()) + b"\x85R."


def _copies_of_a_dictionary() -> bytes:
    pairs = b"](" + b"NN\x86" * 100_000 + b"e"  # [(None, None), ...]
    return b"\x80\x03" + pairs + b"q\0](" + b"ccollections\nOrderedDict\nh\0\x85R" * 1000 + b"e."


def _module_in_itself() -> bytes:
    """A dictionary of G_ema: a module whose _modules hold it under two names."""
    module = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n(}(U\x05state}q\1(U\x08_modules}q\2uutRq\0"
    inside = b"h\2(U\1ah\0U\1bh\0u"  # leaves the dictionary on the stack
    return b"\x80\x03}(U\x05G_ema" + module + inside + b"0u."


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "stride 0": (_stride_0, "a tensor of 1099511627776 values in a storage of 16 bytes"),
    "memo index": (_memo_index, "a pickle, but not of a StyleGAN2 generator"),
    "bytearray": (_long_bytearray, "damaged pickle"),
    "bytes": (_long_bytes, "damaged pickle"),
    "storage": (_one_storage_many_times, "the same storage over and over"),
    "zip": (_zip_bomb, "unpacks to 314572800"),
    "dictionaries": (_copies_of_a_dictionary, "a dictionary is not made from another"),
    "modules": (_module_in_itself, "networks within each other"),
}


LOADER = """
from pathlib import Path
from talkface.edit.official_checkpoints import load_official_generator
from talkface_core.errors import WeightsError
"""


def test_bombs_are_refused_within_a_second_and_200_mb(tmp_path: Path) -> None:
    for name, (make, _) in BOMBS.items():
        (tmp_path / name).write_bytes(make())
    calls = [f"load_official_generator(Path({str(tmp_path / name)!r}))" for name in BOMBS]
    for message, (name, (_, expected)) in zip(refusals(LOADER, calls, "WeightsError"), BOMBS.items(), strict=True):
        assert expected in message, name


def test_a_layer_with_an_absurd_number_is_no_layer(tmp_path: Path) -> None:
    calls = []
    for digits in (30, 5000):
        number, path = "9" * digits, tmp_path / f"{digits}.pt"
        names = (f"convs.{number}.conv.weight", f"noises.noise_{number}", f"to_rgbs.{number}.bias")
        torch.save({"g_ema": dict.fromkeys(names, torch.zeros(1))}, path)
        calls.append(f"load_official_generator(Path({str(path)!r}))")
    for message in refusals(LOADER, calls, "WeightsError"):
        assert "holds no StyleGAN2 generator" in message


def test_the_state_of_a_class_or_function_is_not_set(tmp_path: Path) -> None:
    path = tmp_path / "g.pkl"
    for name in (b"cnumpy\nndarray\n", b"ctorch._utils\n_rebuild_tensor_v2\n"):
        path.write_bytes(b"\x80\x03" + name + b"N}(U\x08to_numpyNu\x86b.")
        with pytest.raises(WeightsError, match="refused: the pickle sets the state of a"):
            read_restricted_pickle(path)


def test_archives_of_torch_pass_and_damaged_ones_do_not() -> None:
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1000)}, buffer)
    content = buffer.getvalue()
    check_archive(io.BytesIO(content), len(content))
    check_archive(io.BytesIO(pickle.dumps(1)), 5)
    with pytest.raises(WeightsError, match="damaged zip file"):
        check_archive(io.BytesIO(content[:-10]), len(content) - 10)
