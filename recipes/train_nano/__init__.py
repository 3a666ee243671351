"""The recipe of the embedded model, from raw data to the packaged checkpoint."""
