"""QB-Norm against golden vectors of its public code, with exact sets, rows and rankings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from seehear.rank.hubness import apply_bank, is_hub_answer, qb_norm, summarise_bank

Load = Callable[[str], dict[str, Any]]


@pytest.mark.parametrize("setting", ["k1", "k2", "k5", "logit", "logit08"])
def test_every_step(golden: Load, setting: str) -> None:
    file = golden("qbnorm")
    out = {k.removeprefix(f"out_{setting}/"): v for k, v in file.items()}
    kind = "_logit" if setting.startswith("logit") else ""
    bank_scores, scores = file[f"in/bank{kind}"], file[f"in/test{kind}"]
    beta, k = float(out["beta"]), int(out["k"])
    bank = summarise_bank(bank_scores, beta=beta, k=k)
    assert np.flatnonzero(bank.active).tolist() == out["activation_set"].tolist()
    assert np.flatnonzero(is_hub_answer(scores, bank)).tolist() == out["normalised_rows"].tolist()
    np.testing.assert_allclose(bank.log_z, out["log_z"], atol=1e-9, rtol=0)
    ours = apply_bank(scores, bank)
    np.testing.assert_array_equal(ours, qb_norm(scores, bank_scores, beta=beta, k=k))
    np.testing.assert_array_equal(np.argsort(-ours, axis=1, kind="stable"), out["ranking"])
    own = np.diag(ours)[:, None]
    np.testing.assert_array_equal((ours > own).sum(1), out["ranks0"])
    changed = out["normalised_rows"]
    np.testing.assert_allclose(np.exp(ours[changed]), out["scores"][changed], rtol=1e-9)
    raw = np.setdiff1d(np.arange(len(scores)), changed)
    np.testing.assert_allclose(ours[raw], beta * out["scores"][raw], rtol=1e-12)
