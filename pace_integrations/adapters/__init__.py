"""What the integrations share; it imports no framework, and PyTorch only when a model is used."""
