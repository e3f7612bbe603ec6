"""From effects to the world. Each may fail alone."""
