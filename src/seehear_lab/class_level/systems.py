"""Class-level systems by name: DSTC and its rivals behind one interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Protocol

from seehear.errors import UsageError, suggest
from seehear_lab.class_level.pairs import ClassPairs, Vectors
from seehear_lab.recipes.reader import build

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
TRANSDUCTIVE = ("jrl",)  # train on the features of test items too, never on their labels


class System(Protocol):
    """A system that is fitted to pairs with classes and then encodes pairs."""

    def fit(self, train: ClassPairs, unlabelled: ClassPairs) -> Iterator[dict[str, float]]:
        """Train; yield the metrics of each candidate state (an epoch, a setting).

        `unlabelled` are the other pairs of the set, with labels of -1.
        """
        ...

    def vectors(self, pairs: ClassPairs) -> Vectors:
        """Encode pairs in the current state."""
        ...


def build_system(name: str, settings: Mapping[str, Any]) -> System:
    """Build an untrained system; missing settings have the paper's values.

    Raises: UsageError if there is no such system or setting.
    """
    if name not in SYSTEMS:
        raise UsageError(f"no class-level system named {name!r}{suggest(name, SYSTEMS)}")
    module_name, system, config = SYSTEMS[name]
    module = import_module(module_name)
    return getattr(module, system)(build(getattr(module, config), settings, where=name))
