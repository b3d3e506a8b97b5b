"""Speech as people have it: readers of folders, tables, Parquet, tars and Hugging Face datasets, and audio decoding."""
