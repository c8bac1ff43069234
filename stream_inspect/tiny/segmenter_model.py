"""The small SAM: its configuration and an initialisation from which it learns in minutes.

transformers starts SAM's encoder at 1e-10 and its position code at a standard deviation of 64, which is right for
loading weights and wrong for learning them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import SamConfig, SamModel

from stream_inspect.tiny.geometry import CROP_PX

HIDDEN = 128
PATCH = 8
MASK_PX = CROP_PX // PATCH * 4
"""Side of the decoder's mask."""


def segmenter_config() -> SamConfig:
    """Sizes of the small segmenter."""
    vision = {
        "hidden_size": HIDDEN,
        "output_channels": HIDDEN,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": CROP_PX,
        "patch_size": PATCH,
        "window_size": 8,
        "global_attn_indexes": [1, 3],
        "num_pos_feats": HIDDEN // 2,
        "mlp_dim": 3 * HIDDEN,
        "initializer_range": 0.02,
    }
    prompt = {"hidden_size": HIDDEN, "image_size": CROP_PX, "patch_size": PATCH}
    decoder = {
        "hidden_size": HIDDEN,
        "mlp_dim": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "iou_head_hidden_dim": 64,
    }
    return SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)


def build_segmenter(seed: int) -> SamModel:
    """A fresh segmenter."""
    torch.manual_seed(seed)
    model = SamModel(segmenter_config())
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                module.weight.normal_(0.0, module.weight[0].numel() ** -0.5)
                if module.bias is not None:
                    module.bias.zero_()
        code = model.shared_image_embedding.positional_embedding
        code.normal_(0.0, 1.0)
        model.prompt_encoder.shared_embedding.positional_embedding.copy_(code)
        model.vision_encoder.pos_embed = nn.Parameter(_wave_code())
    # Both copies of the code must stay one: they are not learned.
    code.requires_grad_(False)
    model.prompt_encoder.shared_embedding.positional_embedding.requires_grad_(False)
    return model


def _wave_code() -> Tensor:
    """(1, n, n, hidden): sines and cosines of each axis."""
    side = CROP_PX // PATCH
    frequencies = torch.linspace(0.1, 1.6, HIDDEN // 4)
    y, x = torch.meshgrid(torch.arange(side).float(), torch.arange(side).float(), indexing="ij")
    waves = [f(axis[..., None] * frequencies) for axis in (x, y) for f in (torch.cos, torch.sin)]
    return 0.4 * torch.cat(waves, dim=-1)[None]
