"""DICOM files are de-identified: elements, pixels, names in pictures. No other format comes in."""
