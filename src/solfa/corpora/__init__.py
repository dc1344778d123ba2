"""Freely licensed music, fetched with its attribution."""
