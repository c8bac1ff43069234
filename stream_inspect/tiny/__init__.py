"""The embedded default models: a small OWLv2 and a small SAM, trained from scratch on the synthetic line."""
