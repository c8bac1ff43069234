#!/bin/sh
# Guess:    the scores of OWLv2's search by a reference picture ("what looks like this scratch?") can be compared from
#           picture to picture, the threshold is one for these scores, and a batch of three gives three results.
# Seen:     (a) the scores are stretched in each picture so that its best box has about 1: a good part whose best
#           probability is 0.002 gets 0.999, as a real scratch with 0.9 does.
#           (b) the threshold is compared with the probability before that: with 0.3, a box of score 0.28 comes.
#           (c) in half precision, where a probability below 3e-8 (a logit of -18) is 0, a picture without any other box
#           is left out of the list: of a batch of three come two results, and the third picture's is read as the
#           second's. In single precision the same logits give three.
# Versions: transformers 5.23.0, torch 2.13.0 (CPU).
# Source:   transformers/models/owlv2/image_processing_pil_owlv2.py, post_process_image_guided_detection: query_alphas,
#           meant for drawing, are returned as scores; "continue" when there is no score above 0.
# Do:       take the sigmoid of outputs.logits by yourself, in float32, and the boxes by the index of the threshold; or
#           call .float() on the logits and give the result of each picture by itself.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install -q --disable-pip-version-check "$@"; }
pip --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu torch==2.13.0+cpu
pip transformers==5.23.0 numpy==2.2.6 pillow==12.0.0
"$folder/venv/bin/python" - <<'END'
import torch
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil
from transformers.models.owlv2.modeling_owlv2 import Owlv2ImageGuidedObjectDetectionOutput

# Four places in each picture, far apart, as the model would put them.
PLACES = torch.tensor([[[x, y, 0.1, 0.1] for x in (0.2, 0.8) for y in (0.2, 0.8)]])
SCRATCHED, GOOD, EMPTY = (0.9, 0.3, 0.001, 0.001), (0.002, 0.001, 0.001, 0.001), (1e-9, 1e-9, 1e-9, 1e-9)
NEARLY = (0.9, 0.32, 0.001, 0.001)


def judged(*pictures, threshold=0.0, dtype=torch.float32):
    """The scores that come back for pictures whose places have these probabilities."""
    logits = torch.logit(torch.tensor(pictures, dtype=torch.float64)).to(dtype)[..., None]
    boxes = PLACES.repeat(len(pictures), 1, 1).to(dtype)
    outputs = Owlv2ImageGuidedObjectDetectionOutput(logits=logits, target_pred_boxes=boxes)
    results = Owlv2ImageProcessorPil().post_process_image_guided_detection(outputs, threshold=threshold)
    return [[round(float(score), 3) for score in result["scores"]] for result in results]


scratched, good = judged(SCRATCHED, GOOD)
over_threshold = judged(NEARLY, threshold=0.3)
single = judged(SCRATCHED, EMPTY, GOOD)
half = judged(SCRATCHED, EMPTY, GOOD, dtype=torch.float16)
print("scratched part, best probability 0.9:", scratched)
print("good part, best probability 0.002   :", good)
print("threshold 0.3                       :", over_threshold)
print("three pictures, single precision    :", single)
print("three pictures, half precision      :", half)
assert max(scratched) == 1.0 and max(good) > 0.99
assert len(over_threshold[0]) == 2 and min(over_threshold[0]) < 0.3
assert len(single) == 3 and len(half) == 2 and max(half[1]) > 0.9
END
