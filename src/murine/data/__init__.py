"""Recordings into samples: windows, splits, prepared streams, data sets, augmentation, balance."""
