"""Processes that decode images find imported what takes long to import."""

import subprocess
import sys
import textwrap

import pytest

BEFORE = """
import sys
import numpy as np, torch
from PIL import Image
from likewise.data.open_images import open_images
from likewise.data.loader import Loader
from likewise.data.sources.open import open_manifest
from likewise.data import parallel_map

for number in range(4):
    pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(pixels).save(f"{number}.jpg")
assert "torchvision" not in sys.modules
"""
WAYS = {
    "all at once": """
parallel_map.ROWS_WORTH_PROCESSES = 1
open_images(open_manifest("."), 32, 3)
""",
    "by a loader's workers": """
files = open_images(open_manifest("."), 32, 3, memory_limit=0)
loader = Loader(files, torch.full((4,), -1), 2, 0, workers=1)
list(loader.batches(0, 2))
""",
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux")
@pytest.mark.parametrize("way", WAYS)
def test_the_decoder_is_imported_before_processes_are_forked(way, tmp_path):
    code = textwrap.dedent(BEFORE + WAYS[way] + "assert 'torchvision.io' in sys.modules\n")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=300)
