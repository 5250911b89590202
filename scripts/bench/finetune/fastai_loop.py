"""Fine-tunes lite0 as fastai's documentation says: what `effnet finetune` is compared with.

    fastai_loop.py WEIGHTS TRAIN VAL SEED [EPOCHS] [THREADS]

WEIGHTS are lite0's in timm's names (`effnet convert --to timm`). `vision_learner` on timm's network, batches of 64, images
resized to squares of 256 pixels and then `aug_transforms(size=224, min_scale=0.75)`, `fine_tune(EPOCHS)`: one epoch of the head,
then EPOCHS (5) of everything, everything else as the library chooses. Prints a line of JSON: whether each image of VAL, by
name, was right after the last epoch, and the seconds of training.
"""

import json
import pathlib
import sys
import time

import torch
from fastai.vision.all import ImageDataLoaders, Resize, aug_transforms, get_image_files, set_seed, vision_learner


def main():
    weights, train, val, seed = sys.argv[1:5]
    epochs = int(sys.argv[5]) if len(sys.argv) > 5 else 5
    torch.set_num_threads(int(sys.argv[6]) if len(sys.argv) > 6 else 2)
    set_seed(int(seed), reproducible=True)
    held_out = sorted(get_image_files(val))
    # Nothing is held out of TRAIN: the epochs are not chosen by their accuracy.
    loaders = ImageDataLoaders.from_path_func(
        pathlib.Path(train),
        sorted(get_image_files(train)),
        lambda path: pathlib.Path(path).parent.name,
        valid_pct=0,
        bs=64,
        item_tfms=Resize(256),
        batch_tfms=aug_transforms(size=224, min_scale=0.75),
        seed=int(seed),
        num_workers=2,
    )
    learner = vision_learner(
        loaders, "tf_efficientnet_lite0", pretrained=True, pretrained_cfg_overlay={"file": weights, "hf_hub_id": None}
    )
    start = time.time()
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(epochs)
    seconds = time.time() - start
    probabilities, _ = learner.get_preds(dl=loaders.test_dl(held_out))
    guesses = [loaders.vocab[index] for index in probabilities.argmax(1)]
    right = {"/".join(path.parts[-2:]): guess == path.parent.name for path, guess in zip(held_out, guesses)}
    print(json.dumps({"seconds": seconds, "right": right}))


main()
