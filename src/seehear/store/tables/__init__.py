"""Lance tables: columns, encoding, commits, the writer's lease. No other package imports lance."""
