"""Flow similarity on a page: frames, their motion, and the embeddings of their pixels."""

from __future__ import annotations

from likewise.data.batch import Batch
from likewise.encoders.locations import all_locations
from likewise.methods import Nets, Progress
from likewise.methods.flow_similarity import FlowSimilarity
from likewise.report.pictures.illustration import Illustration, picture_rows, principal_colours
from likewise.views.motion.flow import flow_colours

EXAMPLES = 6
"""frames that are drawn"""
SIDE = 64
"""pixels along a side whose embeddings are drawn at most"""
EXPLANATION = (
    "Motion is optical flow without the camera's; hue is direction, white is no motion. Embeddings are of the "
    "frame alone: their three principal components as red, green and blue, one scale for all pictures."
)


def illustrate_embeddings(
    method: FlowSimilarity, nets: Nets, batch: Batch, progress: Progress
) -> Illustration:
    """Frames, their motion, and the embeddings that the network computes from a frame alone."""
    frames, motion = method.frames_and_motion(batch, progress)
    frames, motion = frames[:EXAMPLES], motion[:EXAMPLES]
    side = min(frames.shape[-1], SIDE)
    positions = all_locations(side).to(frames).expand(len(frames), -1, -1)  # [B, side * side, 2]
    embeddings = method.embeddings(nets, frames, positions)
    columns = {
        "frame": frames,
        "its motion": flow_colours(motion),
        "embeddings of its pixels": principal_colours(embeddings, side),
    }
    return Illustration("Pixel embeddings and motion", EXPLANATION, picture_rows(columns))
