"""Builds the embedded assets: the text world of the toy speech translation task."""
