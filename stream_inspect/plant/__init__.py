"""What the plant says of its line: the encoder's count, photo-eyes, recipe, lot and serial numbers."""
