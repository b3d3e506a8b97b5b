"""One module a pass: a dataset goes in, a dataset comes out."""
