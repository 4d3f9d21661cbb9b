"""Corpora as others lay them out: a folder or a table -> utterances. Floor 2; `layouts` is the entry."""
