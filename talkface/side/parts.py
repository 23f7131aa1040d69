"""What one side of a call is made of: face, identity, sources and sinks from what the user asked for.

Everything here runs before the far end is met, so that a wrong file or a missing device is said at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protocol.errors import ProtocolError
from protocol.identity.file import MAX_NAME_BYTES, IdentityFile, NumberFormat, sign_identity
from protocol.identity.key import OwnerKey
from protocol.identity.read import AnyIdentity, read_identity
from protocol.interfaces import Clock
from receiver.errors import ReceiverError
from receiver.identity_store import identity_for_model
from receiver.sinks.audio_device import AudioDeviceSink
from receiver.sinks.mp4 import Mp4Sink
from receiver.sinks.sink import MediaSink
from sender.media_time import MediaTime
from sender.outgoing import Outgoing
from sender.sources.devices import Camera, Microphone, open_device
from sender.sources.file_audio import FileAudio
from sender.sources.file_frames import FileFrames
from sender.sources.interfaces import AudioSource
from sender.sources.live_style import LiveStyle
from sender.sources.media_file import check_video, probe
from sender.sources.style import NoStyle, ReferenceStyle, StyleSource
from talkface.errors import UserError
from talkface.identity.key_folder import KeyFolder
from talkface.options import SinkOptions, SourceOptions, StyleChoice
from talkface.outputs import make_folder_for
from talkface.portrait import is_picture, portrait_identity
from talkface_core.errors import CoreError
from talkface_core.face.model import TalkfaceModel, load_face_model, weights_folder
from talkface_core.interfaces import STYLE_VALUES, FaceIdentity, FaceModelInfo
from talkface_core.style.track import StyleTrack
from talkface_core.weights import STYLE_TRACK_NAME

TINY_TRACK_S = 8


def load_model(weights: str) -> TalkfaceModel:
    """The face model of that name or path.

    Raises:
        UserError: there is none; the message says what to do.
    """
    try:
        return load_face_model(weights)
    except (CoreError, OSError) as error:
        raise UserError(f"--weights {weights}: {error}") from error


def load_identity(identity: str, model: TalkfaceModel) -> AnyIdentity:
    """The identity file to send: the weights' own, a file, or made from a picture and signed with the user's key.

    Raises:
        UserError: it cannot be read, shows no face, or belongs to other weights.
    """
    if identity == "default":
        return default_identity_file(model)
    if is_picture(identity):
        face = portrait_identity(model, Path(identity))
        name = Path(identity).stem.encode(errors="ignore")[:MAX_NAME_BYTES].decode(errors="ignore")
        return _identity_file(face, KeyFolder().key(), name, model.info)
    try:
        file = read_identity(Path(identity).read_bytes())
        model.networks_of(identity_for_model(file, model.info))
    except OSError as error:
        raise UserError(f"--identity {identity} cannot be read: {error.strerror}") from error
    except (ProtocolError, ReceiverError, CoreError) as error:
        raise UserError(f"--identity {identity}: {error}") from error
    return file


def default_identity_file(model: TalkfaceModel) -> IdentityFile:
    """The face that comes with the weights, as a file; the same bytes on every machine.

    Its key follows from the weights: anyone can make this file, and nobody claims to own that face.
    """
    info = model.info
    return _identity_file(model.default_identity(), _default_key(model), f"{info.name} default", info)


def key_of(identity: AnyIdentity, model: TalkfaceModel) -> OwnerKey | None:
    """The key that signed an identity, when it is this user's or the one that follows from the weights.

    Raises:
        UserError: the user's key is open to others, or damaged.
    """
    for key in (_default_key(model), KeyFolder().existing_key()):
        if key is not None and key.public_key == identity.public_key:
            return key
    return None


def _default_key(model: TalkfaceModel) -> OwnerKey:
    return OwnerKey.from_seed(
        hashlib.sha256(b"talkface default identity " + model.info.weights_sha256.encode()).digest()
    )


def _identity_file(face: FaceIdentity, key: OwnerKey, name: str, info: FaceModelInfo) -> IdentityFile:
    offsets = face.layer_offsets
    return sign_identity(
        key,
        name=name,
        weights_sha256=info.weights_sha256,
        latent_dim=info.latent_dim,
        number_format=NumberFormat.FLOAT16,
        z=face.z.astype("<f2").tobytes(),
        num_layers=0 if offsets is None else info.num_layers,
        layer_offsets=b"" if offsets is None else offsets.astype("<f2").tobytes(),
    )


def default_face(model: TalkfaceModel) -> FaceIdentity:
    """What is drawn until the far end's identity has come."""
    return model.default_identity()


def own_style_track(weights: str) -> StyleTrack | None:
    """The recorded style of the identity that comes with the weights; None when there is none.

    Raises:
        UserError: it is damaged.
    """
    if weights == "tiny":
        return tiny_style_track()
    folder = weights_folder(weights)
    path = (folder if folder.is_dir() else folder.parent) / STYLE_TRACK_NAME
    return load_style_track(path, "--weights") if path.exists() else None


def tiny_style_track() -> StyleTrack:
    """Eight seconds of smooth, seeded movement: the values of the tiny model's random weights mean nothing."""
    generator = np.random.default_rng(3)
    times_s = np.arange(TINY_TRACK_S * 25) / 25
    rates_hz = generator.uniform(0.1, 0.7, (3, STYLE_VALUES))
    phases = generator.uniform(0, 2 * np.pi, (3, STYLE_VALUES))
    waves = np.sin(2 * np.pi * rates_hz[:, None, :] * times_s[None, :, None] + phases[:, None, :])
    return StyleTrack(waves.sum(axis=0).astype(np.float32) * np.float32(0.6), Fraction(25))


def load_style_track(path: Path, option: str) -> StyleTrack:
    """Read a track.

    Raises:
        UserError: it is not one.
    """
    try:
        return StyleTrack.load(path)
    except (CoreError, OSError) as error:
        raise UserError(f"{option}: {error}") from error


def make_source(
    options: SourceOptions, weights: str, model: TalkfaceModel, clock: Clock, note: Callable[[str], None]
) -> Outgoing:
    """Sound, style and identity of a side that sends; files and devices are tried.

    Raises:
        UserError: what was asked for cannot be done.
        sender.errors.SourceError: a file or a device does not give what the call needs.
    """
    media_time = MediaTime(clock)
    loops = options.duration_s is not None
    audio: AudioSource
    if options.input is not None:
        info = probe(options.input)
        audio = FileAudio(options.input, loop=loops)
        has_picture = info.has_video
        if options.style is StyleChoice.LIVE:
            check_video(info)
    else:
        name = options.microphone or "default"
        open_device(name, "microphone").close()
        audio = Microphone(name)
        has_picture = options.camera is not None
    style = _make_style(options, weights, model, has_picture, loops, media_time, note)
    identity = load_identity(options.identity, model)
    owner_key = key_of(identity, model)
    if owner_key is None:
        note(f"--identity {options.identity} is signed with another key than yours: the far end will not draw it")
    return Outgoing(audio=audio, style=style, identity=identity.to_bytes(), owner_key=owner_key, media_time=media_time)


def _make_style(
    options: SourceOptions,
    weights: str,
    model: TalkfaceModel,
    has_picture: bool,
    loops: bool,
    media_time: MediaTime,
    note: Callable[[str], None],
) -> StyleSource:
    choice = options.style
    if choice is StyleChoice.NONE:
        return NoStyle()
    if choice is StyleChoice.LIVE and not has_picture:
        raise UserError("--style live needs a picture", "add --camera default, or use --style reference or none")
    if has_picture and choice is not StyleChoice.REFERENCE:
        if options.input is not None:
            frames = FileFrames(options.input, model.info.frame_rate, loop=loops)
            return LiveStyle(frames, model.style_encoder(), model.info.frame_rate)
        camera = options.camera or "default"
        open_device(camera, "camera").close()
        return LiveStyle(Camera(media_time.now_ticks, camera), model.style_encoder(), model.info.frame_rate)
    if options.style_track is not None:
        return ReferenceStyle(load_style_track(options.style_track, "--style-track"))
    track = own_style_track(weights)
    if track is not None:
        return ReferenceStyle(track)
    if choice is StyleChoice.REFERENCE:
        raise UserError("--style reference: these weights come with no recorded style", "give one with --style-track")
    note("no picture and no recorded style: the face moves by the sound alone")
    return NoStyle()


def make_recorder(options: SinkOptions) -> Mp4Sink | None:
    """The file that a side records to, if it does; opened later, by the session.

    Raises:
        UserError: its folder is missing and cannot be made.
    """
    if options.output is None:
        return None
    make_folder_for(options.output)
    return Mp4Sink(options.output)


def make_devices(options: SinkOptions, on_window_closed: Callable[[], None]) -> list[MediaSink]:
    """Where a side that receives shows and plays what it receives; opened later, by the session.

    Raises:
        UserError: this Python has no window toolkit.
    """
    sinks: list[MediaSink] = []
    if options.window:
        try:
            from receiver.sinks.window import WindowSink
        except ImportError as error:
            fix = "apt-get install python3-tk, or write a file with --output"
            raise UserError(f"--window: {error}", fix) from error
        sinks.append(WindowSink(on_closed=on_window_closed))
    if options.speaker is not None:
        sinks.append(AudioDeviceSink(options.speaker))
    return sinks


def idle_values(weights: str) -> NDArray[np.float32] | None:
    """[T, V] movement of a face that got no style yet."""
    track = own_style_track(weights)
    return None if track is None else track.values
