"""Reading a library: snapshots, summary vectors, filters, nearest neighbours, verification."""
