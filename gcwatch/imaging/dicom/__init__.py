"""DICOM: headers are read, series are checked. No other format may come in."""
