"""What everything names: errors, values, recipes, the catalogue, checkpoints, detectors."""
