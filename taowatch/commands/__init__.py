"""One module per verb. Each returns a result and prints nothing."""
