"""The service with a planted fault, so that a test sees how the rest takes it; each is run as a command."""
