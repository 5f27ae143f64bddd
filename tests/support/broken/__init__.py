"""The service with a fault of its own, planted so that a test sees how the rest takes it; each is run as a command."""
