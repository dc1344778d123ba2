"""Building blocks of encoders: attention, conformer, convolution, normalisation."""
