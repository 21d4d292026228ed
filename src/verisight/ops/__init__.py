"""Pure functions of tensors: what the papers compute, without state."""
