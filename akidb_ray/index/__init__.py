"""Vector indexes: which rows of a block of vectors are nearest to a query."""
