"""Class-level retrieval, where every item of the query's class is right: DSTC and its rivals."""
