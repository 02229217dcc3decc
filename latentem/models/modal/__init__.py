"""Operational modal analysis: `modal`, the model and its door; `subspace`, where a fit begins; `verbs`."""

from latentem.models.modal.modal import Modal, Structure

__all__ = ["Modal", "Structure"]
