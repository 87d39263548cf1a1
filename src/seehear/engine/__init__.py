"""Media -> arrays, query -> array, scores: the engines and the place that chooses one."""

from seehear.engine.choose import create_engine, load_engine
from seehear.engine.protocol import Engine

__all__ = ["Engine", "create_engine", "load_engine"]
