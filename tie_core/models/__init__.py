"""The mask predictors: checkpoint folders of the supported families, loaded onto transformers' own classes."""
