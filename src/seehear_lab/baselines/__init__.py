"""What DSTC is compared with: two views, classes, one interface (`class_level.systems.System`)."""
