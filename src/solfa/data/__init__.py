"""Lists of tracks, and the clips cut from them."""
