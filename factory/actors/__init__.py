"""Heavy models that a pass maps over batches of rows."""
