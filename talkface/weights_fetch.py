"""Third-party weights: which there are, where they officially come from, and fetching them so that they are whole.

A download goes to `NAME.partial`, continues where an interrupted one stopped, and becomes `NAME` only once its
SHA-256 is the pinned one. Nothing here loads a file, and nothing is fetched unless a person asks for it.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from talkface.errors import UserError

MAX_DOWNLOAD_BYTES = 4 << 30
CHUNK_BYTES = 1 << 20
TIMEOUT_S = 30.0
MAX_ATTEMPTS = 5
"""Connections per fetch; each continues where the last broke off."""

_NETWORK_ERRORS = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)

Progress = Callable[[int, int | None], None]
"""Called with bytes so far and in total, None when the server does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThirdPartyWeights:
    """One file of other people that some feature needs."""

    name: str
    file_name: str
    url: str
    """Its official address."""
    sha256: str
    num_bytes: int
    purpose: str
    licence: str


THIRD_PARTY: dict[str, ThirdPartyWeights] = {
    weights.name: weights
    for weights in (
        ThirdPartyWeights(
            name="vgg16",
            file_name="vgg16-397923af.pth",
            url="https://download.pytorch.org/models/vgg16-397923af.pth",
            sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            num_bytes=553_433_881,
            purpose="perceptual features: inversion and the paper's training recipe",
            licence="torchvision, BSD-3-Clause; ImageNet terms",
        ),
        ThirdPartyWeights(
            name="inception",
            file_name="pt_inception-2015-12-05-6726825d.pth",
            url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth",
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            num_bytes=95_628_359,
            purpose="FID",
            licence="pytorch-fid, Apache-2.0",
        ),
        ThirdPartyWeights(
            name="syncnet",
            file_name="syncnet_v2.model",
            url="http://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",
            sha256="961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",
            num_bytes=54_573_114,
            purpose="LSE-D and LSE-C",
            licence="SyncNet, MIT (code); see its page for the weights",
        ),
        ThirdPartyWeights(
            name="ffhq",
            file_name="ffhq.pkl",
            url="https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/ffhq.pkl",
            sha256="a205a346e86a9ddaae702e118097d014b7b8bd719491396a162cca438f2f524c",
            num_bytes=381_624_121,
            purpose="StyleGAN2 generator of 1024 px faces",
            licence="NVIDIA Source Code License, non-commercial",
        ),
    )
}


def weights_cache_folder() -> Path:
    """Where fetched files are kept: $XDG_CACHE_HOME or ~/.cache, then talkface/weights."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "talkface" / "weights"


def find_third_party(name: str) -> ThirdPartyWeights:
    """The entry of that name.

    Raises:
        UserError: there is none; the message lists those there are.
    """
    try:
        return THIRD_PARTY[name]
    except KeyError:
        raise UserError(f"weights {name!r} are unknown", f"choose one of {', '.join(THIRD_PARTY)}") from None


def sha256_of(path: Path) -> str:
    """Hex digest of a file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def copy_weights(source: Path, target: Path, sha256: str) -> None:
    """Take weights from a local file that someone carried here.

    Raises:
        UserError: unreadable, or not the file that is expected.
    """
    digest = sha256_of(source)
    if digest != sha256:
        raise UserError(f"{source} is not {target.name}: sha256 {digest[:12]}…, expected {sha256[:12]}…")
    partial = _partial(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, partial)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"{target} cannot be written: {error.strerror}") from error


def fetch_weights(url: str, target: Path, sha256: str, progress: Progress | None = None) -> None:
    """Download a file and verify it; continue an earlier attempt when there is one.

    Raises:
        UserError: the address is not http(s), the server or the disk fails (what came so far is kept for the next
            attempt), or the whole file is not the expected one (it is deleted).
    """
    if not url.startswith(("https://", "http://")):
        raise UserError(f"{url!r} is not an http or https address")
    partial = _partial(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(url, partial, progress)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"{partial} cannot be written: {reason}", "free some space or choose another --folder"
        ) from error
    digest = sha256_of(partial)
    if digest != sha256:
        partial.unlink()
        raise UserError(
            f"{url} gave another file than expected: sha256 {digest[:12]}…, expected {sha256[:12]}…",
            "it was deleted; get the file elsewhere and give it with --from",
        )
    partial.replace(target)


def _partial(target: Path) -> Path:
    return target.with_name(target.name + ".partial")


def _download(url: str, partial: Path, progress: Progress | None) -> None:
    """Append to the partial file until it is whole, over several connections if need be."""
    problem = "no answer"
    for _ in range(MAX_ATTEMPTS):
        have = partial.stat().st_size if partial.exists() else 0
        try:
            if _continue_download(url, partial, have, progress):
                return
            problem = "the connection broke off"
        except urllib.error.HTTPError as error:
            if error.code == 416 and have:
                # Nothing follows what is here: it is whole, or longer than the file, which the hash will tell.
                return
            if error.code < 500:
                raise UserError(f"{url} cannot be fetched: HTTP {error.code} {error.reason}") from error
            problem = f"HTTP {error.code} {error.reason}"
        except _NETWORK_ERRORS as error:
            problem = str(getattr(error, "reason", None) or error or type(error).__name__)
    raise UserError(
        f"{url} cannot be fetched: {problem}", "run the command again to continue, or give a file with --from"
    )


def _continue_download(url: str, partial: Path, have: int, progress: Progress | None) -> bool:
    """One connection; True when the file is whole, False when the server stopped early."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        continues = response.status == 206 and _range_start(response.headers.get("Content-Range")) == have
        if not continues:
            have = 0  # the server sends the file from its start
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        if (total or 0) > MAX_DOWNLOAD_BYTES:
            raise UserError(f"{url} announces {total} bytes, over the limit of {MAX_DOWNLOAD_BYTES}")
        with partial.open("ab" if continues else "wb") as file:
            while chunk := response.read(CHUNK_BYTES):
                file.write(chunk)
                have += len(chunk)
                if have > MAX_DOWNLOAD_BYTES:
                    raise UserError(f"{url} sends more than {MAX_DOWNLOAD_BYTES} bytes")
                if progress is not None:
                    progress(have, total)
    return total is None or have >= total


def _range_start(header: str | None) -> int | None:
    """Start of "bytes 100-199/200"; None when it is not that."""
    unit, _, rest = (header or "").partition(" ")
    start = rest.partition("-")[0]
    return int(start) if unit == "bytes" and start.isdigit() else None
