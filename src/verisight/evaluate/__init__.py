"""From scores to figures that hold: metrics, intervals, calibration, protocol, records."""
