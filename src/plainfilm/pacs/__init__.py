"""Receives chest radiographs in the hospital network, and returns structured reports.

Two processes share a state folder. A network process accepts DICOM associations and writes images
into the spool; it has no model. The main process predicts, writes results into the outbox, and
delivers them. What happened to each image is in the ledger, which holds keys and states only.
"""
