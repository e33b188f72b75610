"""What an encoder was shown of each picture is shown to it again."""

from likewise.encoders import EncoderSettings
from likewise.training.clip_reading import inherit_input_config
from likewise.training.settings import TrainSettings

MOUTH = (0.25, 0.5, 0.75, 1.0)


def test_a_run_that_starts_from_another_keeps_its_size_and_region_unless_they_are_typed():
    start = EncoderSettings("lip-small", 32, (0.5,), (0.2,), frames=25, frame_rate=25.0, region=MOUTH)
    whole = EncoderSettings("conv4", 28, (0.5,), (0.2,))
    assert inherit_input_config(start, TrainSettings()) == TrainSettings(region=MOUTH, image_size=32)
    typed = TrainSettings(region=(0.0, 0.0, 0.5, 0.5), image_size=48)
    assert inherit_input_config(start, typed) == typed
    assert inherit_input_config(whole, TrainSettings()) == TrainSettings(image_size=28)
    assert inherit_input_config(None, TrainSettings()) == TrainSettings()
