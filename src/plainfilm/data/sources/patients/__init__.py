"""Assigns patients to images, from columns, DICOM headers, folders and names."""
