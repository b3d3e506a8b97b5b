"""Trains a unit vocoder: a HiFi-GAN generator of one voice against small discriminators."""
