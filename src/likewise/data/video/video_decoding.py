"""Video files to frames and sound on one clock: each file is decoded once, by time stamp."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from likewise.data.video.frame_pixels import region_of, rgb_converter, squares, upright
from likewise.data.video.pyav import pyav
from likewise.errors import LikewiseError

if TYPE_CHECKING:
    from av.container import InputContainer


SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .mpe .ogv .wmv .flv .ts .3gp".split()
)
"""endings of video files, in any case of letters"""

BEGINNINGS = (
    b"\x1aE\xdf\xa3",
    b"\x00\x00\x01\xba",
    b"\x00\x00\x01\xb3",
    b"OggS",
    b"FLV\x01",
    b"0&\xb2u\x8ef\xcf\x11",
)
"""how Matroska and WebM, MPEG, Ogg, Flash and Windows Media begin"""


SOUND_RATE = 16_000
"""Samples a second at which sound is stored, one channel."""


class UnreadableVideo(Exception):
    """One file gives no frame at all; the message names it and says why."""


@dataclass(frozen=True)
class ClipShape:
    """What is stored of every video: a span of time at a constant rate, squeezed into a square."""

    size: int = 64
    """pixels along a side of a frame"""
    frames: int = 32
    """how many frames"""
    frame_rate: float = 16.0
    """frames a second; a video of another or of a changing rate shows at each instant the frame that was on then"""
    start: float = 0.0
    """seconds into the video at which the span begins"""
    sound_rate: int = SOUND_RATE
    """samples a second of the sound, one channel"""
    region: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """left, top, right and bottom of the part of each frame that is stored, as shares of its sides"""

    def __post_init__(self) -> None:
        left, top, right, bottom = self.region
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise LikewiseError(
                f"The region {self.region} was given; it is left, top, right and bottom as shares of the frame from 0 "
                f"to 1, for instance --region 0.25 0.45 0.75 0.95."
            )
        sizes = (self.size, self.frames, self.frame_rate, self.sound_rate)
        if min(sizes) <= 0 or self.start < 0:
            raise LikewiseError(
                f"{self}: size, frames and rates must be above 0, and the start not before the video."
            )

    @property
    def seconds(self) -> float:
        """How long the span is."""
        return self.frames / self.frame_rate

    @property
    def samples(self) -> int:
        """Samples of sound in the span."""
        return round(self.seconds * self.sound_rate)


class Clip(NamedTuple):
    """The stored span of one video."""

    frames: np.ndarray
    """uint8 [T, 3, S, S]; where the video ends sooner, its last frame stays on"""
    sound: np.ndarray
    """float32 [samples] in [-1, 1], from the same instant; silence where there is none"""
    aspect: float
    """width / height in the file"""
    valid_frames: int
    """frames of the span during which the video was still running; fewer than T where it ended sooner"""
    has_sound: bool
    """whether the file has a sound track that could be decoded"""
    note: str = ""
    """what was lost, in words: a broken tail, a sound track that cannot be decoded; else empty"""


def is_video(file: Path | bytes) -> bool:
    """Whether a file by its ending, or bytes by their beginning, are a video."""
    if isinstance(file, Path):
        return file.suffix.lower() in SUFFIXES
    if file[4:8] == b"ftyp":  # AVIF and HEIF photographs share the container of MP4
        return file[8:12] not in (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")
    is_avi = file[:4] == b"RIFF" and file[8:12] == b"AVI "
    return is_avi or file.startswith(BEGINNINGS)


def middle_frame(file: Path | bytes, name: str) -> np.ndarray:
    """The frame in the middle of a video, uint8 [H, W, 3], upright: its still picture.

    Raises:
        UnreadableVideo: it is gone, no video, or has no frame.
    """
    av = pyav()
    with _named(name), av.open(_readable(file)) as container:
        picture = _picture_track(container)
        duration = float(picture.duration * picture.time_base) if picture.duration else 0.0
        last = None
        for last in _until_broken(container.decode(picture)):
            if last.time is not None and last.time >= duration / 2:
                break
        if last is None:
            raise UnreadableVideo("it has no frame")
        return upright(last, rgb_converter())


def seconds_of(file: Path | bytes) -> float | None:
    """How long a video says that it is; None where it does not say or cannot be opened."""
    try:
        with _named(""), pyav().open(_readable(file)) as container:
            return container.duration / 1e6 if container.duration else None
    except UnreadableVideo:
        return None


def frame_size(file: Path | bytes) -> tuple[int, int]:
    """Width and height of a video's frames as its container has them; the message of an error is the reason alone.

    Raises:
        UnreadableVideo: it is gone, no video, or has no picture track.
    """
    with _named(""), pyav().open(_readable(file)) as container:
        picture = _picture_track(container)
        return picture.width, picture.height


def decode_clip(file: Path | bytes, name: str, shape: ClipShape) -> Clip:
    """Decode the span of a video that ``shape`` describes.

    Frames and samples are placed by the container's clock, counted from its first frame, so that sight and sound stay
    together whatever their tracks' offsets and rates are. A tail that cannot be decoded is left out and noted.

    Args:
        file: a file or its bytes.
        name: what an error calls it.
        shape: what to keep.

    Raises:
        UnreadableVideo: it is gone, no video, or has no frame in the span.
    """
    with _named(name), pyav().open(_readable(file)) as container:
        _picture_track(container)
        tracks = _Tracks(container, shape)
        return _clip(tracks, tracks.read(), shape)


def _clip(tracks: _Tracks, note: str, shape: ClipShape) -> Clip:
    if not tracks.pictures:
        raise UnreadableVideo(note or f"it has no frame from {shape.start:g} s on")
    begin = tracks.first_time or 0.0
    times = np.array(tracks.times) - begin
    wanted = shape.start + np.arange(shape.frames) / shape.frame_rate
    # Half a millisecond of grace: time stamps are rounded to the container's clock.
    on_then = np.searchsorted(times, wanted + 5e-4, side="right") - 1
    on_then = np.clip(on_then, 0, len(times) - 1)
    convert = rgb_converter()
    parts = {}
    for number in set(on_then.tolist()):
        parts[number] = region_of(upright(tracks.pictures[number], convert), shape.region)
    height, width = parts[int(on_then[0])].shape[:2]
    return Clip(
        frames=squares([parts[number] for number in on_then], shape.size),
        sound=tracks.sound_from(begin + shape.start),
        aspect=width / height,
        valid_frames=int((wanted < times[-1] + tracks.last_duration).sum()),
        has_sound=tracks.has_sound,
        note=note,
    )


class _Tracks:
    """Pictures and sound of one container, read together in one pass."""

    def __init__(self, container: InputContainer, shape: ClipShape) -> None:
        self.container, self.shape = container, shape
        self.pictures: list[Any] = []
        """as the decoder gave them; only those that are stored are turned into pixels"""
        self.times: list[float] = []
        self.first_time: float | None = None
        self.last_duration = 1 / shape.frame_rate
        self.pieces: list[tuple[float, np.ndarray]] = []
        self.has_sound = False

    def read(self) -> str:
        """Decode until the span is full or the file ends; gives back what was lost, in words."""
        av = pyav()
        picture = self.container.streams.video[0]
        picture.thread_count = 1  # whole videos are decoded side by side
        sound = next(iter(self.container.streams.audio), None)
        resampler = av.AudioResampler(format="flt", layout="mono", rate=self.shape.sound_rate)
        streams = [picture] if sound is None else [picture, sound]
        note = ""
        try:
            for packet in self.container.demux(streams):
                try:
                    frames = packet.decode()
                except av.error.FFmpegError as error:
                    note = f"a damaged part was left out: {_reason(error)}"
                    continue
                for frame in frames:
                    if isinstance(frame, av.VideoFrame):
                        self._picture(frame)
                    else:
                        self._sound(resampler.resample(frame))
                if self._full(sound is not None):
                    return note
            if self.has_sound:
                self._sound(resampler.resample(None))
        except av.error.FFmpegError as error:
            note = f"the end was left out: {_reason(error)}"
        return note

    def sound_from(self, begin: float) -> np.ndarray:
        """float32 [samples] from an instant on, the pieces laid where the clock has them."""
        laid = np.zeros(self.shape.samples, np.float32)
        for time, piece in self.pieces:
            offset = round((time - begin) * self.shape.sound_rate)
            low = max(offset, 0)
            high = min(offset + len(piece), len(laid))
            if low < high:
                laid[low:high] = piece[low - offset : high - offset]
        return np.clip(laid, -1, 1)

    def _picture(self, frame: Any) -> None:
        """Keep a picture; of those before the span's start only the last, which is on when it starts."""
        time = frame.time
        if time is None:
            time = len(self.times) / self.shape.frame_rate
        time = float(time)
        if self.first_time is None:
            self.first_time = time
        if self.times:
            self.last_duration = max(time - self.times[-1], 1e-3)
        self.pictures.append(frame)
        self.times.append(time)
        while len(self.times) > 1 and self.times[1] - self.first_time <= self.shape.start:
            del self.pictures[0], self.times[0]

    def _sound(self, frames: Any) -> None:
        for frame in frames:
            self.has_sound = True
            self.pieces.append((float(frame.time or 0.0), frame.to_ndarray()[0]))

    def _full(self, with_sound: bool) -> bool:
        """Whether both tracks have passed the span's end."""
        end = (self.first_time or 0.0) + self.shape.start + self.shape.seconds
        if with_sound and not (self.pieces and self.pieces[-1][0] > end):
            return False
        return bool(self.times) and self.times[-1] > end


def _picture_track(container: InputContainer) -> Any:
    if not container.streams.video:
        raise UnreadableVideo("it has no picture track")
    track = container.streams.video[0]
    if track.codec_context is None:
        raise UnreadableVideo("its picture track has a codec that is not known")
    return track


def _readable(file: Path | bytes) -> Any:
    return io.BytesIO(file) if isinstance(file, bytes) else str(file)


def _until_broken(frames: Any) -> Iterator[Any]:
    """Frames as far as they can be decoded."""
    try:
        yield from frames
    except pyav().error.FFmpegError:
        return


@contextmanager
def _named(name: str) -> Iterator[None]:
    """An error inside becomes one of the video, by its name."""
    before = f"{name}: " if name else ""
    try:
        yield
    except UnreadableVideo as error:
        raise UnreadableVideo(f"{before}{error}") from None
    except (OSError, ValueError, pyav().error.FFmpegError) as error:
        raise UnreadableVideo(f"{before}{_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file is gone"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
