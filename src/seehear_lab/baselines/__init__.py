"""Class-level systems that DSTC is compared with (interface: `class_level.systems.System`)."""
