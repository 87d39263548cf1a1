"""Looks for damage in a library, and keeps its tables small and few."""

from __future__ import annotations
