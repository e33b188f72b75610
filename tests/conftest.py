import os

import torch

os.environ.setdefault("COLUMNS", "120")
torch.set_num_threads(1)  # tests are many and small; threads only get in each other's way
