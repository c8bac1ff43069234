"""Sizes that the models, their training and their preprocessing share."""

from __future__ import annotations

from stream_inspect.sim.world import FIELD_OF_VIEW_MM

IMAGE_PX = 256
"""Side of the detector's square input; a picture fills its width, and black fills the rest below."""
PATCH_PX = 16
GRID = IMAGE_PX // PATCH_PX
"""Tokens along a side."""
WINDOW_TOKENS = 8
"""Training looks at windows of this many tokens squared: five times as many a second as whole pictures."""

STRIP_PX_PER_MM = 2 * IMAGE_PX / FIELD_OF_VIEW_MM[0]
"""Scale at which training strips are kept: twice the detector's, so that they can be zoomed."""
CROP_PX = 128
"""Side of the segmenter's input, a crop around one hit."""
CROP_CONTEXT = 1.65
"""Side of the crop in longer sides of the hit's box."""
CROP_MIN_SIDE_PX = 48
"""Smallest crop, in pixels of the camera's picture."""

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
"""CLIP's normalisation, red first, which OWLv2's processor applies."""
