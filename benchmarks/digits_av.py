"""digits-av: do models see and hear, and does attention help? Trained from scratch on two cores.

`whole`: two digits shown, two said, the caption names all four; 1,000 test clips of digits never
seen or heard in training. `part`: six and six, the caption names three in a row of each.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from _report import arguments, report
from seehear.models import RetrievalModel, build_model, list_models
from seehear_lab import ablations, baselines  # noqa: F401  registers models
from seehear_lab.datasets.digits_av import DigitsSpec, Level, digits_av
from seehear_lab.datasets.digits_pairs import DigitGallery, DigitPairs, digits_encoder
from seehear_lab.evaluate.metrics import rank, recall
from seehear_lab.evaluate.protocol import encode, score_all, score_two_stage
from seehear_lab.evaluate.report import Result, judge, write_results
from seehear_lab.train.checkpoint import load_weights
from seehear_lab.train.config import TrainConfig
from seehear_lab.train.loop import BEST, fit
