"""The small OWLv2: its configuration, an initialisation that learns fast, and a forward pass on windows.

transformers draws OWLv2's heads with a standard deviation of 1, which starts training at a loss of a thousand; here
every layer starts at 1/sqrt(fan in), attention starts as readers of neighbouring tokens, and the patch embedding as
principal components of the line's own patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import CLIPTokenizer, Owlv2Config, Owlv2ForObjectDetection

from stream_inspect.tiny.geometry import GRID, IMAGE_PX, PATCH_PX, PIXEL_MEAN, PIXEL_STD
from stream_inspect.tiny.tokenizer import MAX_TOKENS

HIDDEN, LAYERS, HEADS, MLP = 192, 4, 6, 768
TEXT_HIDDEN = 128
_POSITION_DIMS = 32
"""Leading features that carry the token's place: sine and cosine of 8 frequencies along each axis."""
_POSITION_AMPLITUDE = 1.4
_NEIGHBOURS = ((1, 0), (-1, 0), (0, 1), (0, -1), (0, 0), (1, 1), (-1, -1), (1, -1), (-1, 1), (2, 0), (-2, 0), (0, 2))


def detector_config(vocabulary_size: int) -> Owlv2Config:
    """Sizes of the small detector; the end token is the last of the vocabulary."""
    text = {
        "vocab_size": vocabulary_size,
        "hidden_size": TEXT_HIDDEN,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": MAX_TOKENS,
        "pad_token_id": 0,
        "bos_token_id": vocabulary_size - 2,
        "eos_token_id": vocabulary_size - 1,
    }
    vision = {
        "hidden_size": HIDDEN,
        "intermediate_size": MLP,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "image_size": IMAGE_PX,
        "patch_size": PATCH_PX,
    }
    # The class head compares with the text's hidden size, so the projection must not change it.
    return Owlv2Config(text_config=text, vision_config=vision, projection_dim=TEXT_HIDDEN)


def build_detector(vocabulary_size: int, patches: npt.NDArray[np.float32], seed: int) -> Owlv2ForObjectDetection:
    """A fresh detector; `patches` (n, 3 * 16 * 16) are normalised patches of the line, channels first."""
    torch.manual_seed(seed)
    model = Owlv2ForObjectDetection(detector_config(vocabulary_size))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.weight.normal_(0.0, module.in_features**-0.5)
                if module.bias is not None:
                    module.bias.zero_()
        _start_text(model)
        _start_vision(model, patches)
        _start_heads(model)
    return model


def _start_text(model: Owlv2ForObjectDetection) -> None:
    embeddings = model.owlv2.text_model.embeddings
    embeddings.token_embedding.weight.normal_(0.0, 0.5)
    embeddings.position_embedding.weight.normal_(0.0, 0.1)


def _start_vision(model: Owlv2ForObjectDetection, patches: npt.NDArray[np.float32]) -> None:
    embeddings = model.owlv2.vision_model.embeddings
    signs = torch.randint(0, 2, (HIDDEN,)).float() * 2 - 1
    embeddings.class_embedding.copy_(signs)
    embeddings.position_embedding.weight.zero_()
    embeddings.position_embedding.weight[1:, :_POSITION_DIMS] = _POSITION_AMPLITUDE * _place_code()
    embeddings.patch_embedding.weight.zero_()
    components = _whitened_components(patches, HIDDEN - _POSITION_DIMS)
    embeddings.patch_embedding.weight[_POSITION_DIMS:] = components.reshape(-1, 3, PATCH_PX, PATCH_PX)
    for number, layer in enumerate(cast(list[Any], model.owlv2.vision_model.encoder.layers)):
        _start_as_neighbour_readers(layer.self_attn, number)
        layer.self_attn.out_proj.weight.mul_(0.5)
        layer.mlp.fc2.weight.mul_(0.5)


def _frequencies() -> Tensor:
    return torch.linspace(0.15, 2.4, _POSITION_DIMS // 4)


def _place_code() -> Tensor:
    """(tokens, 32): cos and sin of x, then of y, at each frequency."""
    y, x = torch.meshgrid(torch.arange(GRID).float(), torch.arange(GRID).float(), indexing="ij")
    parts = [f(axis.flatten()[:, None] * _frequencies()) for axis in (x, y) for f in (torch.cos, torch.sin)]
    return torch.cat(parts, dim=1)


def _start_as_neighbour_readers(attention: Any, layer_number: int) -> None:
    """Let each head attend to the token at a fixed offset, as a convolution would.

    Keys read a token's place; queries read their own place turned by the offset, so that their product is largest
    where key place = query place + offset.
    """
    frequencies = _frequencies()
    count = len(frequencies)
    head_dim = HIDDEN // HEADS
    query, key = attention.q_proj, attention.k_proj
    query.weight.mul_(0.3)
    key.weight.mul_(0.3)
    for head in range(HEADS):
        offset = _NEIGHBOURS[(layer_number * HEADS + head) % len(_NEIGHBOURS)]
        rows = slice(head * head_dim, (head + 1) * head_dim)
        turned = torch.zeros(_POSITION_DIMS, _POSITION_DIMS)
        for axis, shift in enumerate(offset):
            cos, sin = torch.cos(frequencies * shift), torch.sin(frequencies * shift)
            at = 2 * axis * count
            for i in range(count):
                c, s = at + i, at + count + i
                turned[c, c], turned[c, s] = cos[i], -sin[i]
                turned[s, s], turned[s, c] = cos[i], sin[i]
        query.weight[rows, :_POSITION_DIMS] = turned
        key.weight[rows, :_POSITION_DIMS] = torch.eye(_POSITION_DIMS)


def _whitened_components(patches: npt.NDArray[np.float32], count: int) -> Tensor:
    """Principal components of patches, (count, n), scaled half-way to equal variance."""
    centred = torch.from_numpy(patches - patches.mean(axis=0))
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
    deviation = values.clamp(min=1e-6).sqrt()
    outputs = deviation.sqrt()
    scale = outputs / deviation / outputs.mean()
    components: Tensor = (vectors * scale).T.contiguous()
    return components


def _start_heads(model: Owlv2ForObjectDetection) -> None:
    for head in (model.box_head, model.objectness_head):
        head.dense2.weight.mul_(0.2)
    model.objectness_head.dense2.bias.fill_(-3.0)
    model.class_head.logit_shift.weight.mul_(0.1)
    model.class_head.logit_shift.bias.fill_(-0.5)
    model.class_head.logit_scale.weight.mul_(0.1)
    model.class_head.logit_scale.bias.fill_(9.0)


@dataclass(frozen=True, slots=True)
class Outputs:
    """The detector's outputs for each token of each window."""

    features: Tensor
    """(B, T, hidden)"""
    logits: Tensor
    """(B, T, prompts)"""
    box_raw: Tensor
    """(B, T, 4): box head's output, before its bias and the sigmoid"""
    box_bias: Tensor
    """(B, T, 4)"""
    objectness: Tensor
    """(B, T)"""

    @property
    def boxes(self) -> Tensor:
        """(B, T, 4) centre x, centre y, width, height as shares of the square."""
        return torch.sigmoid(self.box_raw + self.box_bias)


def normalise(bgr: Tensor) -> Tensor:
    """(B, h, w, 3) uint8 BGR to (B, 3, h, w) float32 as OWLv2's processor gives it."""
    rgb = bgr.flip(-1).permute(0, 3, 1, 2).float() / 255
    return (rgb - torch.tensor(PIXEL_MEAN)[:, None, None]) / torch.tensor(PIXEL_STD)[:, None, None]


def encode_text(model: Owlv2ForObjectDetection, tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """(prompts, text hidden) projected text embeddings, of any length: the class head brings them to one."""
    tokens = tokenizer(list(texts), padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    pooled = model.owlv2.text_model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])[1]
    projected: Tensor = model.owlv2.text_projection(pooled)
    return projected


def detect(
    model: Owlv2ForObjectDetection, pixels: Tensor, token_places: Tensor, text: Tensor, bf16: bool = False
) -> Outputs:
    """The detector on windows: tokens keep the position embedding and box bias of their place in the full square.

    `pixels` (B, 3, 16 n, 16 n), `token_places` (B, n * n) numbers of the tokens in the square, `text` (prompts, d).
    """
    vision = model.owlv2.vision_model
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        embeddings = vision.embeddings
        patches = embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)
        places = embeddings.position_embedding.weight
        first = (embeddings.class_embedding + places[0]).expand(len(pixels), 1, -1)
        hidden = torch.cat([first, patches + places[1:][token_places]], dim=1)
        hidden = vision.pre_layernorm(hidden)
        hidden = vision.encoder(inputs_embeds=hidden)[0]
    hidden = vision.post_layernorm(hidden.float())
    features = model.layer_norm(hidden[:, 1:] * hidden[:, :1])
    logits, _ = model.class_head(features, text.expand(len(pixels), -1, -1), None)
    raw = model.box_head(features)
    return Outputs(features, logits, raw, model.box_bias[token_places], model.objectness_predictor(features))
