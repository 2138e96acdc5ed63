"""DICOM: headers read, series checked, files de-identified. No other format may come in."""
