"""The storage origin: S3 for parts and media files, and the DICOM store, behind signed requests.

No rule of the API and no user's permission may be checked here: a valid signature is enough.
"""
