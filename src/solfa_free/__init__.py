"""Freely licensed music, fetched with its attribution; and symbolic music, rendered with exact labels."""
