"""Class-level retrieval: what shares the query's class is right; DSTC's tables and its rivals."""
