"""Networks and their loaders: language model, speech encoders, vocoder, recognizer, MOS and text to speech."""
