"""The encoder contract, over ours and a selection of timm's."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from likewise.encoders import build_encoder, choose_encoder, load_encoder, save_encoder
from likewise.encoders.checkpoints import load_weights
from likewise.errors import EnvironmentIOError, LikewiseError
from likewise.json_files import write_json
from likewise.run_folder import FORMAT, RunFolder

GRAY, COLOUR = ((0.3,), (0.2,)), ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
NAMES = [
    "conv4",
    "conv4-wide",
    "conv4-half",
    "conv4-double",
    "conv9",
    "conv9-half",
    "timm/resnet18",
    "timm/convnext_atto",
    "timm/vit_tiny_patch16_224",
    "timm/mobilenetv3_small_050",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("statistics", [GRAY, COLOUR], ids=["gray", "colour"])
def test_pooled_features_and_feature_map(name, statistics):
    encoder = build_encoder(choose_encoder(name, 32, *statistics)).eval()
    pixels = torch.rand(2, len(statistics[0]), 32, 32)
    assert encoder.channels == len(statistics[0])
    assert encoder(pixels).shape == (2, encoder.width) or name.startswith("timm/mobilenet")
    maps = encoder.feature_map(pixels)
    assert maps.dim() == 4
    assert maps.shape[0] == 2


@pytest.mark.parametrize("name", ["conv4", "timm/vit_tiny_patch16_224"])
def test_pixels_of_8_bits_are_refused_and_not_taken_for_bright_ones(name):
    encoder = build_encoder(choose_encoder(name, 32, *COLOUR)).eval()
    pixels = torch.full((2, 3, 32, 32), 128, dtype=torch.uint8)
    with pytest.raises(LikewiseError, match="uint8"):
        encoder(pixels)
    assert encoder(pixels / 255).isfinite().all()


@pytest.mark.parametrize("name", ["conv4", "timm/resnet18", "timm/convnext_atto"])
def test_stages_in_order_are_the_feature_map(name):
    encoder = build_encoder(choose_encoder(name, 32, *COLOUR)).eval()
    pixels = torch.rand(2, 3, 32, 32)
    maps = encoder.normalise(pixels)
    for stage in encoder.stages():
        maps = stage(maps)
    torch.testing.assert_close(maps, encoder.feature_map(pixels))
    assert len(encoder.stages()) >= 4


def test_normalisation_belongs_to_the_encoder():
    encoder = build_encoder(choose_encoder("conv4", 28, *COLOUR))
    gray = encoder.normalise(torch.tensor(COLOUR[0]).view(1, 3, 1, 1).expand(1, 3, 28, 28))
    assert gray.abs().max() < 1e-6
    assert encoder.normalise(torch.ones(1, 3, 2, 2))[0, :, 0, 0].tolist() == pytest.approx(
        [2.5, 2.4, 0.7 / 0.3]
    )


def test_small_images_get_the_small_stem_and_it_is_recorded():
    small, large = (choose_encoder("resnet18", size, *COLOUR) for size in (32, 128))
    assert (small.small_stem, large.small_stem) == (True, False)
    network = build_encoder(small).network
    assert network.conv1.kernel_size == (3, 3)
    assert network.conv1.stride == (1, 1)
    assert build_encoder(small).feature_map(torch.rand(1, 3, 32, 32)).shape[2:] == (4, 4)
    assert build_encoder(large).feature_map(torch.rand(1, 3, 128, 128)).shape[2:] == (4, 4)
    assert choose_encoder("resnet18", 32, *COLOUR, stem="standard").small_stem is False


def test_pretrained_weights_bring_their_own_normalisation():
    chosen = choose_encoder("resnet18", 64, *COLOUR, pretrained="timm")
    assert chosen.mean == (0.485, 0.456, 0.406)
    assert chosen.small_stem is False
    assert len(choose_encoder("resnet18", 64, *GRAY, pretrained="timm").mean) == 1


@pytest.mark.parametrize(
    ("name", "stem", "word"),
    [
        ("resnt18", "auto", "Did you mean 'resnet18'"),
        ("conv4", "tiny", "no stem 'tiny'"),
        ("convnext_atto", "small", "no 7x7 stem"),
    ],
)
def test_what_is_misspelt_is_named(name, stem, word):
    with pytest.raises(LikewiseError, match=word):
        build_encoder(choose_encoder(name, 32, *COLOUR, stem=stem))


def test_a_transformer_says_which_sizes_it_can_read():
    with pytest.raises(LikewiseError, match=r" 16 .* 30 .*--image-size 32"):
        build_encoder(choose_encoder("vit_tiny_patch16_224", 30, *COLOUR))


@pytest.mark.parametrize(
    "prefix", ["", "module.encoder_q.", "backbone.", "encoder.", "module.encoder."]
)
@pytest.mark.parametrize("kind", ["safetensors", "state_dict", "model"])
def test_weights_of_other_libraries_are_matched_by_name(prefix, kind, tmp_path):
    settings = choose_encoder("resnet18", 32, *COLOUR)
    source, target = build_encoder(settings).network, build_encoder(settings).network
    tensors = {prefix + name: tensor.contiguous() for name, tensor in source.state_dict().items()}
    if kind == "safetensors":
        path = tmp_path / "weights.safetensors"
        save_file(tensors, path)
    else:
        path = tmp_path / "weights.pth"
        torch.save({kind: tensors, "epoch": 3}, path)
    match = load_weights(target, path)
    assert (match.matched, match.missing) == (len(tensors), ())
    assert torch.equal(source.layer4[0].conv1.weight, target.layer4[0].conv1.weight)


def test_weights_of_another_network_are_refused_and_leave_ours_alone(tmp_path):
    save_file(
        build_encoder(choose_encoder("conv4", 32, *COLOUR)).state_dict(),
        tmp_path / "other.safetensors",
    )
    network = build_encoder(choose_encoder("resnet18", 32, *COLOUR)).network
    before = network.conv1.weight.clone()
    with pytest.raises(LikewiseError, match=r"other\.safetensors.* 0 .* 100 .* 24 "):
        load_weights(network, tmp_path / "other.safetensors")
    assert torch.equal(before, network.conv1.weight)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_file_that_is_no_checkpoint_is_told(content, tmp_path):
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(LikewiseError, match=r"(?s)weights\.pth.*\.safetensors"):
        load_weights(torch.nn.Linear(1, 1), tmp_path / "weights.pth")
    with pytest.raises(LikewiseError, match=r"absent\.pth.*--pretrained"):
        load_weights(torch.nn.Linear(1, 1), tmp_path / "absent.pth")


@pytest.mark.parametrize(
    "error", [OSError, type("ConnectError", (Exception,), {"__module__": "httpx"})]
)
def test_published_weights_out_of_reach_say_what_to_type(error, monkeypatch):
    def offline(*arguments, **settings):
        raise error("no network")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        EnvironmentIOError, match=r"timm/resnet18.*--pretrained lite0.*--pretrained path/to/weights"
    ):
        build_encoder(choose_encoder("resnet18", 128, *COLOUR, pretrained="timm"))


@pytest.mark.parametrize("name", ["resnet18.absent_tag", "nf_resnet26"])
def test_weights_that_timm_does_not_have_are_named(name):
    with pytest.raises(LikewiseError, match=name):
        build_encoder(choose_encoder(name, 128, *COLOUR, pretrained="timm"))


@pytest.mark.parametrize(
    ("name", "mean"),
    [
        ("vit_base_patch16_clip_224.openai", (0.48145466, 0.4578275, 0.40821073)),
        ("vit_base_patch16_siglip_224.webli", (0.5, 0.5, 0.5)),
        ("vit_small_patch14_dinov2.lvd142m", (0.485, 0.456, 0.406)),
    ],
)
def test_towers_and_transformers_bring_the_normalisation_of_their_weights(name, mean):
    assert choose_encoder(name, 126, *COLOUR, pretrained="timm").mean == mean


def test_saved_and_loaded_is_the_same_encoder(tmp_path):
    run = RunFolder(tmp_path)
    write_json(run.config, {"format": FORMAT})
    settings = choose_encoder("resnet18", 32, *COLOUR)
    encoder = build_encoder(settings).eval()
    save_encoder(encoder, settings, run.path)
    again, read = load_encoder(tmp_path)
    assert read == settings
    pixels = torch.rand(2, 3, 32, 32)
    assert torch.equal(encoder(pixels), again(pixels))
    assert not again.training
