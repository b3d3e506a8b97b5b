"""Judges in environments of their own: scores of candidates by packages that pin other versions than this one."""
