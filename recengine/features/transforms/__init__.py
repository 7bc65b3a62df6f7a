"""Transforms of features: fitted on training rows only, saved with the deployment, applied by one kernel."""

from recengine.features.transforms.embedding import Cooccurrences, cooccurrences
from recengine.features.transforms.fit import fit_transforms
from recengine.features.transforms.program import Program

__all__ = ("Cooccurrences", "Program", "cooccurrences", "fit_transforms")
