"""The mask predictors: checkpoint folders of the supported families, loaded onto transformers' own
classes.
"""

from tie_core.models.loading import FAMILIES, load_model
from tie_core.models.mask_predictor import MaskPredictor

__all__ = ["FAMILIES", "MaskPredictor", "load_model"]
