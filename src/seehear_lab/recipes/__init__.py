"""Recipes (one table row each, as TOML) and the reader of every TOML file of the lab."""
