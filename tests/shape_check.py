"""The checker that tests put on every annotated shape; an int is welcome where a float is asked."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
