"""Training of an AHN for a frozen language model, by distilling the model from itself."""
