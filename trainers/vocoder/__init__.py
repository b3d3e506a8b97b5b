"""Trains a unit vocoder: the HiFi-GAN generator of one voice, against small discriminators."""
