"""The part of each frame that an encoder was shown is shown to it again."""

from likewise.encoders import EncoderSettings
from likewise.training.clip_reading import with_region_of
from likewise.training.settings import TrainSettings

MOUTH = (0.25, 0.5, 0.75, 1.0)


def test_a_run_that_starts_from_another_keeps_its_region_unless_one_is_typed():
    start = EncoderSettings("lip-small", 32, (0.5,), (0.2,), frames=25, frame_rate=25.0, region=MOUTH)
    whole = EncoderSettings("conv4", 32, (0.5,), (0.2,))
    assert with_region_of(start, TrainSettings()).region == MOUTH
    assert with_region_of(start, TrainSettings(region=(0.0, 0.0, 0.5, 0.5))).region == (0.0, 0.0, 0.5, 0.5)
    assert with_region_of(whole, TrainSettings()).region is None
    assert with_region_of(None, TrainSettings()).region is None
