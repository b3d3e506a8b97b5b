"""Ray and its limits: starting it, light tasks, stalls, counters; and how secrets stay out of what is printed."""
