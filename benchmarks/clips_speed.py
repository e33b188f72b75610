"""Videos to clips, and clips to views, per second of a thread: likewise, decord, torchcodec, OpenCV, torchvision.

python benchmarks/clips_speed.py --clock wall     # on a machine with nothing else to do

The videos are made on the spot: H.264 of 192 x 192 pixels at 25 frames a second, three seconds, with a tone. All but
ours decode pictures alone; ours decodes the sound in the same pass, and places both by their time stamps. Decord and
torchcodec are measured where they are installed; torchvision has no video reader any more.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from clip_views import our_view, torchvision_view
from measuring import Claim, Clock, Table, in_turns, keep
from torch import Tensor
from torch.nn import functional

from likewise.data.batch import Pixels
from likewise.data.video.video_decoding import ClipShape, decode_clip
from likewise.randomness import BatchRNG

SHAPE = ClipShape(size=64, frames=32, frame_rate=16.0)
OURS, OPENCV, DECORD, TORCHCODEC = "likewise (with sound)", "OpenCV", "decord", "torchcodec"
TIMES = np.arange(SHAPE.frames) / SHAPE.frame_rate


@dataclass(frozen=True)
class Settings:
    """How to measure."""

    clock: Clock = "processor"
    """seconds that the process worked, which other processes hardly change, or seconds that went by"""
    rounds: int = 5
    """calls of each candidate, of which the median counts"""
    videos: int = 12
    """decoded in each call"""
    clips: int = 16
    """clips of each call"""


def write_videos(folder: Path, count: int) -> list[Path]:
    """A grain that drifts under a bright square, differently in each."""
    import av

    random, paths = np.random.default_rng(0), []
    for number in range(count):
        path = folder / f"{number}.mp4"
        grain = random.integers(0, 200, (48, 48, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 16_000, dtype=np.float32)
        with av.open(str(path), "w") as container:
            picture = container.add_stream("libx264", rate=25)
            picture.width = picture.height = 192
            picture.pix_fmt = "yuv420p"
            voice: Any = container.add_stream("aac", rate=16_000, layout="mono")
            for time in range(75):
                pixels = grain[time : time + 192, number : number + 192].copy()
                pixels[80:112, 2 * time % 160 : 2 * time % 160 + 32] = 250
                container.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(picture.encode())
            for first in range(0, len(tone), 1024):
                piece = av.AudioFrame.from_ndarray(tone[None, first : first + 1024], "fltp", "mono")
                piece.sample_rate, piece.time_base, piece.pts = 16_000, Fraction(1, 16_000), first
                container.mux(voice.encode(piece))
            container.mux(voice.encode())
        paths.append(path)
    return paths


def square(frames: Tensor) -> Tensor:
    """uint8 [T, 3, H, W] at the stored size."""
    return functional.interpolate(frames, (SHAPE.size, SHAPE.size), mode="bilinear", antialias=True)


def ours(path: Path) -> Tensor:
    return torch.from_numpy(decode_clip(path, path.name, SHAPE).frames)


def by_opencv(path: Path) -> Tensor:
    import cv2

    reader, frames = cv2.VideoCapture(str(path)), []
    wanted = set(np.round(TIMES * 25).astype(int).tolist())
    for number in range(max(wanted) + 1):
        if not reader.grab():
            break
        if number in wanted:
            frames.append(
                cv2.resize(
                    reader.retrieve()[1], (SHAPE.size, SHAPE.size), interpolation=cv2.INTER_AREA
                )
            )
    return torch.from_numpy(np.stack(frames)[..., ::-1].copy()).permute(0, 3, 1, 2)


def by_decord(path: Path) -> Tensor:
    import decord  # type: ignore[import-not-found]

    reader = decord.VideoReader(str(path), num_threads=1)
    return square(
        torch.from_numpy(reader.get_batch(np.round(TIMES * 25).astype(int)).asnumpy()).permute(
            0, 3, 1, 2
        )
    )


def by_torchcodec(path: Path) -> Tensor:
    from torchcodec.decoders import VideoDecoder  # type: ignore[import-not-found]

    return square(
        VideoDecoder(str(path), num_ffmpeg_threads=1).get_frames_played_at(TIMES.tolist()).data
    )


def decoded(settings: Settings) -> tuple[dict[str, float], dict[str, str]]:
    """Seconds a video of each candidate, and why some are not measured."""
    transforms: dict[str, Callable[[Path], Tensor]] = {
        OURS: ours, OPENCV: by_opencv, DECORD: by_decord, TORCHCODEC: by_torchcodec
    }  # fmt: skip
    absent: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = write_videos(Path(folder), settings.videos)
        for name, read in list(transforms.items()):
            try:
                apart = (read(paths[0]).float() - ours(paths[0]).float()).abs().mean()
            except (ImportError, RuntimeError) as error:
                absent[name] = str(error).splitlines()[0][:80]
                del transforms[name]
                continue
            assert apart < 8, f"{name} gives other frames: {apart:.1f} of 255 apart"
        work = {
            name: lambda read=read: [read(path) for path in paths]
            for name, read in transforms.items()
        }
        times = in_turns(work, settings.rounds, settings.clock)
    return {name: seconds / settings.videos for name, seconds in times.items()}, absent


def make_views(settings: Settings) -> dict[str, float]:
    """Seconds a clip of SimCLR's view, the same for all its frames: ours for the batch, torchvision clip by clip."""
    size = SHAPE.size
    clips = torch.randint(0, 256, (settings.clips, 16, 3, size, size), dtype=torch.uint8)
    pixels, step = Pixels(clips, torch.ones(len(clips))), iter(range(10**9))
    policy, chain = our_view(size), torchvision_view(size)
    times = in_turns(
        {
            "likewise": lambda: policy(pixels, BatchRNG((0, next(step)), len(clips))),
            "torchvision v2": lambda: [chain(clip) for clip in clips],
        },
        settings.rounds,
        settings.clock,
    )
    return {name: seconds / settings.clips for name, seconds in times.items()}


def table(title: str, what: str, times: dict[str, float], against: str, notes: list[str]) -> Table:
    rows = [[name, f"{1 / s:,.1f}", f"{s / times[against]:.2f}"] for name, s in times.items()]
    return Table(title, ("library", f"{what} a second", f"time over {against}"), [*rows], notes)


def main(settings: Settings) -> None:
    torch.set_num_threads(1)
    read, absent = decoded(settings)
    views = make_views(settings)
    peers = {name: seconds for name, seconds in read.items() if name != OURS}
    quickest = min(peers, key=peers.__getitem__)
    keep(
        "clips_speed",
        "Clips: decoding and views",
        [
            table(
                "3 s of 192 px H.264 to 32 frames of 64 px", "videos", read, OURS,
                [f"{name}: not measured ({why})" for name, why in absent.items()],
            ),
            table("SimCLR's view of clips of 16 frames of 64 px", "clips", views, "likewise", []),
        ],
        [
            Claim(
                f"decodes a video, sound included, in at most 1.5 times {quickest}'s time for pictures alone", 1.5,
                read[OURS] / peers[quickest], at_least=False,
            ),
            Claim("makes views of clips at least as fast as torchvision v2", 1.0,
                  views["torchvision v2"] / views["likewise"]),
        ],
        clock=settings.clock,
    )  # fmt: skip


if __name__ == "__main__":
    main(tyro.cli(Settings))
