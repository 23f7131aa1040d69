"""Draw a prepared clip with a face model through the interface that a call uses, and measure what came out.

Shapes: T frames, R resolution, V style values.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.face.model import TalkfaceModel
from talkface_core.interfaces import BASE_STYLE_VALUES, STYLE_VALUES, FaceRenderer
from talkface_core.style.input import SquareCrop
from training.data.clip_format import Clip
from training.data.clip_store import resize_clip, resize_frames
from training.data.sampler import audio_window
from training.data.stored_points import StoredPoints
from training.data.synthetic_voice import grid_sentence
from training.evaluate.likeness_judge import LikenessJudge
from training.evaluate.through_wire import WireSettings, sound_through_opus, style_through_codec
from training.metrics import (
    FACE_POINTS,
    MOUTH_POINTS,
    MS_SSIM_LEAST_PX,
    StyleBits,
    Unavailable,
    background_flicker,
    box_around,
    frames_to_unit,
    high_band_ratio,
    landmark_distance,
    psnr,
    ssim,
    ssim_and_ms_ssim,
    static_background_mask,
)
from training.metrics.behaviour import (
    blinks_per_minute,
    correlation,
    eye_amplitude,
    mouth_amplitude,
    mouth_opening,
    silence_leak,
    silent_frames,
)
from training.metrics.closure import closure
from training.metrics.inception import FidFeatures
from training.metrics.landmark_distance import eye_distance, warped_landmark_distance
from training.metrics.likeness import Look
from training.metrics.lip_sync_error import LipSyncScorer, syncnet_crop
from training.metrics.motion import head_motion
from training.metrics.speech import quiet_frames
from training.mode import Mode

PointFinder = Callable[[Tensor], Tensor]
"""[T, 3, R, R] in [0, 1] to [T, 68, 2] pixels."""


@dataclass(frozen=True, slots=True)
class Judges:
    """Networks that measure; what is missing says why."""

    points: PointFinder
    inception: FidFeatures | Unavailable
    lip_sync: LipSyncScorer | Unavailable
    likeness: LikenessJudge


@dataclass(slots=True)
class Measured:
    """Numbers of one clip; None where a metric does not apply, with the reason in `missing`."""

    values: dict[str, float | None] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    look: Look | None = None
    """What the judges of likeness see in the drawn frames."""


def clip_style(model: TalkfaceModel, clip: Clip) -> NDArray[np.float32]:
    """[T, V] style values of a clip's own picture, before quantisation.

    The clip is a crop already, and what is drawn is compared with it: it must not be cut a second time.
    """
    # As training sees it: pictures of the side that the model draws.
    side = model.info.resolution_px
    clip = resize_clip(clip, side)
    encoder = model.style_encoder(StoredPoints(clip.points), crop=SquareCrop(side / 2, side / 2, side))
    values = [encoder.encode_frame(frame) for frame in clip.frames]
    return np.stack([v for v in values if v is not None])


def camera_style(model: TalkfaceModel, clip: Clip) -> NDArray[np.float32]:
    """[T, V] style values as a call finds them in the picture; a frame whose face is not found keeps the last ones."""
    encoder = model.style_encoder()
    values = np.zeros((len(clip.frames), STYLE_VALUES), np.float32)
    for t, frame in enumerate(clip.frames):
        found = encoder.encode_frame(frame)
        values[t] = found if found is not None else values[max(t - 1, 0)]
    return values


def fit_length(track: NDArray[np.float32], num_frames: int) -> NDArray[np.float32]:
    """[T, V] played back and forth until it is long enough, so that nothing jumps."""
    there_and_back = np.concatenate([track, track[-2:0:-1]]) if len(track) > 2 else track
    return np.resize(there_and_back, (num_frames, track.shape[1]))


def draw_clip(
    renderer: FaceRenderer,
    model: TalkfaceModel,
    clip: Clip,
    mode: Mode,
    *,
    own_style: NDArray[np.float32] | None = None,
    wire: WireSettings | None,
    reference: NDArray[np.float32] | None = None,
    samples: NDArray[np.int16] | None = None,
    bits: StyleBits | None = None,
) -> NDArray[np.uint8]:
    """Draw every frame of a clip.

    Args:
        own_style: [T, V] of the clip's own picture where it is known already.
        wire: send sound and style through their codecs; None draws from the originals.
        reference: [T', V] style of another video, for Mode.REFERENCE.
        samples: other sound than the clip's own.
        bits: counts style payloads.

    Returns:
        [T, R, R, 3] uint8
    """
    sound = clip.samples if samples is None else samples
    style: NDArray[np.float32] | None = None
    if mode.has_own_style:
        style = clip_style(model, clip) if own_style is None else own_style
    elif mode is Mode.CAMERA:
        style = camera_style(model, clip)
    elif mode is Mode.REFERENCE:
        if reference is None:
            raise ValueError("mode reference needs a style track of another clip")
        style = fit_length(reference, len(clip.frames))
    if style is not None and not mode.has_lips:
        style = style.copy()
        style[:, BASE_STYLE_VALUES:] = 0
    if wire is not None:
        sound = sound_through_opus(sound, wire)
        if style is not None:
            style = style_through_codec(model, style, wire, bits, with_lips=mode.has_lips)

    def frame(t: int) -> NDArray[np.uint8]:
        window = audio_window(sound, t).astype(np.float32) / np.float32(32768)
        return renderer.render(window, None if style is None else style[t])

    with ThreadPoolExecutor(renderer.frames_at_once) as pool:
        return np.stack(list(pool.map(frame, range(len(clip.frames)))))


@dataclass(frozen=True, slots=True)
class Truth:
    """What a clip is measured against, computed once for all modes."""

    clip: Clip
    frames: Tensor
    """[T, 3, R, R] in [0, 1] at the drawn resolution."""
    points: Tensor
    """[T, 68, 2] pixels of it."""
    still: Tensor
    """[R, R] bool: static background."""
    style: NDArray[np.float32]
    """[T, V] of the clip's own picture."""
    look: Look
    """What the judges of likeness see in it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The clip that a drawn mouth should follow."""

    clip: Clip
    points: Tensor
    """[T, 68, 2] pixels at the drawn resolution."""


@torch.inference_mode()
def listen_to(model: TalkfaceModel, clip: Clip, judges: Judges) -> Heard:
    """The true mouth of a clip whose sound drives another one's face."""
    return Heard(clip, judges.points(frames_to_unit(resize_frames(clip.frames, model.info.resolution_px))))


@torch.inference_mode()
def look_at(model: TalkfaceModel, clip: Clip, judges: Judges) -> Truth:
    """The true side of every comparison."""
    frames = frames_to_unit(resize_frames(clip.frames, model.info.resolution_px))
    points = judges.points(frames)
    still = static_background_mask(frames, points)
    return Truth(clip, frames, points, still, clip_style(model, clip), judges.likeness.look(frames, points))


@torch.inference_mode()
def measure_clip(truth: Truth, drawn: NDArray[np.uint8], judges: Judges, heard: Heard | None = None) -> Measured:
    """All metrics of one drawn clip [T, R, R, 3] against the true one.

    Args:
        heard: the clip whose sound drove it; None: the same.
    """
    heard = heard or Heard(truth.clip, truth.points)
    real, fake = truth.frames, frames_to_unit(drawn)
    side = drawn.shape[1]
    result = Measured()
    values = result.values
    values["psnr_db"] = float(psnr(real, fake).mean())
    if side >= MS_SSIM_LEAST_PX:
        one, many = ssim_and_ms_ssim(real, fake)
        values["ssim"], values["ms_ssim"] = float(one.mean()), float(many.mean())
    else:
        values["ssim"], values["ms_ssim"] = float(ssim(real, fake).mean()), None
        result.missing["ms_ssim"] = f"frames below {MS_SSIM_LEAST_PX} pixels have no five scales"
    fake_points = judges.points(fake)
    result.look = judges.likeness.look(fake, fake_points)
    # 256 px is the reference size of every landmark distance here, whatever is drawn.
    scale = 256 / side
    for name, indices in (("mouth", MOUTH_POINTS), ("face", FACE_POINTS)):
        distance = landmark_distance(truth.points, fake_points, indices)
        values[f"lmd_{name}"] = float(distance.mean()) * scale
        values[f"lmd_{name}_over_eyes"] = float((distance / eye_distance(truth.points)).mean())
        values[f"sharpness_{name}"] = high_band_ratio(real, fake, box_around(truth.points, indices, side))
    values["lmd_mouth_warped"] = warped_landmark_distance(truth.points, fake_points) * scale
    values["flicker"] = background_flicker(fake, truth.still)
    values["flicker_of_original"] = background_flicker(real, truth.still)
    if values["flicker"] is None:
        result.missing["flicker"] = "the crop shows no static background"
    _measure_behaviour(truth, fake_points, heard, result)
    _measure_reach(truth, fake_points, heard, result)
    _measure_lip_sync(heard.clip, fake, truth.points, judges, result)
    result.missing = {name: reason for name, reason in result.missing.items() if values[name] is None}
    return result


def _measure_behaviour(truth: Truth, fake_points: Tensor, heard: Heard, result: Measured) -> None:
    """What the mouth follows, whether silence closes it, and blinking, beside the original's."""
    values = result.values
    drawn = mouth_opening(fake_points)
    values["mouth_follows_sound"] = correlation(drawn, mouth_opening(heard.points))
    values["mouth_follows_picture"] = correlation(drawn, mouth_opening(truth.points))
    silent = silent_frames(torch.from_numpy(heard.clip.samples.astype(np.float32)), len(heard.points))[: len(drawn)]
    values["mouth_open_in_silence"] = values["mouth_open_in_silence_of_original"] = None
    if silent.any():
        values["mouth_open_in_silence"] = float(drawn[: len(silent)][silent].mean())
        values["mouth_open_in_silence_of_original"] = float(mouth_opening(heard.points)[: len(silent)][silent].mean())
    else:
        result.missing["mouth_open_in_silence"] = "no frame is silent"
    values["blinks_per_minute"] = blinks_per_minute(fake_points)
    values["blinks_per_minute_of_original"] = blinks_per_minute(truth.points)


def _measure_reach(truth: Truth, fake_points: Tensor, heard: Heard, result: Measured) -> None:
    """Whether lips close, mouths open, eyes shut and heads move as far as the true ones, and silence is quiet."""
    values, missing = result.values, result.missing
    samples = torch.from_numpy(heard.clip.samples.astype(np.float32))
    drawn, shown, spoken = (mouth_opening(p) for p in (fake_points, truth.points, heard.points))
    counted = closure(grid_sentence(heard.clip.name), samples, spoken, shown, drawn)
    values["closure"] = values["closure_sounds"] = None
    if isinstance(counted, Unavailable):
        missing["closure"] = missing["closure_sounds"] = counted.reason
    else:
        values["closure"], values["closure_sounds"] = counted.share, float(counted.num_sounds)
        missing["closure"] = "the sentence has no b, p or m at which the true lips are seen to close"
    values["amplitude_mouth"] = mouth_amplitude(truth.points, fake_points)
    missing["amplitude_mouth"] = "the true mouth stays shut"
    values["amplitude_eyes"] = eye_amplitude(truth.points, fake_points)
    missing["amplitude_eyes"] = "the true eyes stay open"
    length = min(len(drawn), len(spoken))
    values["silence_leak"] = silence_leak(spoken[:length], drawn[:length], quiet_frames(samples, length))
    missing["silence_leak"] = "somebody speaks in every frame"
    motion = head_motion(truth.points, fake_points)
    values["motion_correlation"] = None if motion is None else motion.correlation
    values["motion_scale"] = None if motion is None else motion.scale
    missing["motion_correlation"] = missing["motion_scale"] = "the true head stands still"


def _measure_lip_sync(clip: Clip, fake: Tensor, points: Tensor, judges: Judges, result: Measured) -> None:
    """LSE-D and LSE-C with SyncNet's weights, or the reason why not."""
    result.values["lse_d"] = result.values["lse_c"] = None
    if isinstance(judges.lip_sync, Unavailable):
        result.missing["lse_d"] = result.missing["lse_c"] = judges.lip_sync.reason
        return
    if not clip.has_sound or len(fake) < 7:
        result.missing["lse_d"] = result.missing["lse_c"] = "the clip has no sound or is shorter than 7 frames"
        return
    score = judges.lip_sync.score(syncnet_crop(fake, points), clip.samples)
    result.values["lse_d"], result.values["lse_c"] = score.distance, score.confidence
