"""What every buffer and store must pass, and cities to test with."""
