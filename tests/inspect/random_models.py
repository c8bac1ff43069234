"""OWLv2 and SAM folders with random weights whose heads give trained-like numbers: for tests that need no skill."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessorPil,
    Owlv2Processor,
    SamConfig,
    SamImageProcessorPil,
    SamModel,
    SamProcessor,
)

from stream_inspect.tiny.tokenizer import build_tokenizer

WORDS = ["a photo of a scratch", "a hole in the plate", "rust", "a screw hole", "stain", "dent", "label", "metal"]


def small_owlv2_config() -> Owlv2Config:
    """64 tokens of 16 px: a forward takes a few milliseconds."""
    return Owlv2Config(
        vision_config={
            "image_size": 128,
            "patch_size": 16,
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 128,
        },
        text_config={
            "hidden_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 96,
            "max_position_embeddings": 16,
            "vocab_size": 1600,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        projection_dim=48,
    )


def small_sam_config() -> SamConfig:
    """A 128 px input with 256 tokens."""
    return SamConfig(
        vision_config={
            "image_size": 128,
            "patch_size": 8,
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "mlp_dim": 128,
            "window_size": 8,
            "global_attn_indexes": [1],
            "output_channels": 64,
            "num_pos_feats": 32,
        },
        prompt_encoder_config={
            "hidden_size": 64,
            "image_size": 128,
            "patch_size": 8,
            "image_embedding_size": 16,
            "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": 64,
            "mlp_dim": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "iou_head_hidden_dim": 32,
        },
    )


def owlv2_model(config: Owlv2Config, seed: int = 0) -> Owlv2ForObjectDetection:
    """Random weights; the heads, which transformers draws far too large, give scores of 0.02 to 0.7."""
    torch.manual_seed(seed)
    model = Owlv2ForObjectDetection(config).eval()
    for head in (model.class_head, model.box_head, model.objectness_head):
        for layer in head.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=1 / math.sqrt(layer.in_features))
                nn.init.zeros_(layer.bias)
    nn.init.normal_(model.class_head.logit_scale.weight, std=0.1 / math.sqrt(config.vision_config.hidden_size))
    nn.init.constant_(model.class_head.logit_scale.bias, 8.0)
    nn.init.normal_(model.class_head.logit_shift.weight, std=0.1 / math.sqrt(config.vision_config.hidden_size))
    nn.init.constant_(model.class_head.logit_shift.bias, -0.3)
    return model


def sam_model(config: SamConfig, seed: int = 0) -> SamModel:
    """Random weights with a vision tower that is not zero and positions that are a code."""
    torch.manual_seed(seed)
    model = SamModel(config).eval()
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=1 / math.sqrt(layer.weight[0].numel()))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    code = torch.randn_like(model.shared_image_embedding.positional_embedding)
    model.shared_image_embedding.positional_embedding.data = code
    model.prompt_encoder.shared_embedding.positional_embedding.data = code.clone()
    return model


def write_small_owlv2(folder: Path, *, seed: int = 0, half: bool = False) -> Path:
    """A whole detector folder; `half` stores float16, as the shipped model does."""
    config = small_owlv2_config()
    tokenizer = build_tokenizer(WORDS * 20)
    config.text_config.vocab_size = len(tokenizer)
    model = owlv2_model(config, seed)
    (model.half() if half else model).save_pretrained(folder)
    side = config.vision_config.image_size
    processor = Owlv2Processor(Owlv2ImageProcessorPil(size={"height": side, "width": side}), tokenizer)
    processor.save_pretrained(folder)
    return folder


def write_small_sam(folder: Path, *, seed: int = 0, ours: dict[str, object] | None = None) -> Path:
    """A whole segmenter folder; `ours` is what config.json tells stream_inspect."""
    config = small_sam_config()
    sam_model(config, seed).save_pretrained(folder)
    side = config.vision_config.image_size
    low = side // 4
    SamProcessor(
        SamImageProcessorPil(
            size={"longest_edge": side},
            pad_size={"height": side, "width": side},
            mask_size={"longest_edge": low},
            mask_pad_size={"height": low, "width": low},
        )
    ).save_pretrained(folder)
    if ours is not None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "stream_inspect": ours}))
    return folder


def spoil(folder: Path, weight: str) -> Path:
    """Make a weight of a folder's model no number, as a corrupt file would have it."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights[weight] = torch.full_like(weights[weight], float("nan"))
    save_file(weights, path, metadata={"format": "pt"})
    return folder
