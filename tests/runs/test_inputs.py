"""An encoder sees what it saw in the run that it starts from, unless other settings are given."""

from likewise.data.video.clip_sampling import ClipSampling
from likewise.encoders import EncoderSettings
from likewise.runs.inputs import Inputs, choose_inputs
from likewise.runs.settings import TrainSettings

MOUTH = (0.25, 0.5, 0.75, 1.0)


def test_size_sampling_and_region_are_inherited_unless_they_are_given():
    clips = EncoderSettings(
        "lip-small", 32, (0.5,), (0.2,), frames=25, frame_rate=25.0, region=MOUTH
    )
    images = EncoderSettings("conv4", 28, (0.5,), (0.2,))
    assert choose_inputs(TrainSettings(), None, clips) == Inputs(32, ClipSampling(25, 25.0), MOUTH)
    given = TrainSettings(region=(0.0, 0.0, 0.5, 0.5), image_size=48, frames=16)
    assert choose_inputs(given, None, clips) == Inputs(
        48, ClipSampling(16, 25.0), (0.0, 0.0, 0.5, 0.5)
    )
    assert choose_inputs(TrainSettings(), None, images) == Inputs(28, None, None)
    assert choose_inputs(TrainSettings(), None, None) == Inputs(None, None, None)
