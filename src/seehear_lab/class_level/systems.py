"""Systems by name: DSTC and its rivals behind one interface, each with its settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Protocol

from seehear.errors import UsageError
from seehear_lab.class_level.pairs import Pairs, Vectors
from seehear_lab.settings import build, nearest

SYSTEMS = {  # name: module, class, settings
    "acmr": ("seehear_lab.baselines.acmr", "ACMR", "ACMRConfig"),
    "avgzslnet": ("seehear_lab.baselines.triplets", "AVGZSLNet", "AVGZSLNetConfig"),
    "cca": ("seehear_lab.baselines.linear", "CCA", "LinearConfig"),
    "cjme": ("seehear_lab.baselines.triplets", "CJME", "CJMEConfig"),
    "dcca": ("seehear_lab.baselines.dcca", "DCCA", "DCCAConfig"),
    "dccae": ("seehear_lab.baselines.dcca", "DCCAE", "DCCAEConfig"),
    "dscmr": ("seehear_lab.baselines.dscmr", "DSCMR", "DSCMRConfig"),
    "dstc": ("seehear_lab.class_level.transitive", "TwoStep", "TwoStepConfig"),
    "gcca": ("seehear_lab.baselines.linear", "GCCA", "LinearConfig"),
    "jrl": ("seehear_lab.baselines.jrl", "JRL", "JRLConfig"),
    "mcca": ("seehear_lab.baselines.linear", "MCCA", "LinearConfig"),
    "mvda": ("seehear_lab.baselines.mvda", "MvDA", "MvDAConfig"),
    "mvda_vc": ("seehear_lab.baselines.mvda", "MvDA", "MvDAVCConfig"),
    "scm": ("seehear_lab.baselines.semantic", "SM", "SCMConfig"),
    "sm": ("seehear_lab.baselines.semantic", "SM", "SemanticConfig"),
}
TRANSDUCTIVE = ("jrl",)  # they see the features of test items while they train, never the labels


class System(Protocol):
    """What can be fitted to pairs with classes, and then gives vectors that are compared."""

    def fit(self, train: Pairs, unlabelled: Pairs) -> Iterator[dict[str, float]]:
        """Pause at every state that may be chosen (an epoch, a setting) and say what it is.

        `unlabelled` are the other pairs of the set, with labels of -1.
        """
        ...

    def vectors(self, pairs: Pairs) -> Vectors:
        """Vectors in the present state."""
        ...


def build_system(name: str, settings: Mapping[str, Any]) -> System:
    """A fresh system; settings that are not named have its paper's values.

    Raises: UsageError if there is no such system or setting.
    """
    if name not in SYSTEMS:
        raise UsageError(f"no class-level system named {name!r}{nearest(name, SYSTEMS)}")
    module, system, config = SYSTEMS[name]
    held = import_module(module)
    return getattr(held, system)(build(getattr(held, config), settings, where=name))
