"""Reading, asking and opening, measured beside Transformers and the frameworks' own classes."""
