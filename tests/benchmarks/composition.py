"""Measures the composition modes on a demo catalogue, and tunes their weights.

    python -m tests.benchmarks.composition --catalogue data/test
    python -m tests.benchmarks.composition --catalogue data/validation --tune

Exhaustive search in memory with the real encoder: what the embeddings are worth, without a server.
Weights are tuned on validation queries only; test queries only ever report.
"""

import argparse
import json
from collections import defaultdict
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from indexer.metrics import average_precision_at_k, recall_at_k
from indexer.reader import read_manifest, schema_of
from models.composition.composer import Composer
from models.composition.vector import CompositionWeights
from models.contracts.gallery import GallerySpec
from models.encoder import ImageTextEncoder
from models.presets import load_preset

MODES = ("image", "text", "union", "intersection")
