"""Class activation maps, for the tests of `effnet::Explainer`.

    explain_reference.py FOLDER CASE...     a case is `model:variant`
    explain_reference.py --check            compares the arithmetic here with the package grad-cam, if it is installed

A case becomes `CASE.pth` with random calibrated weights and `CASE.safetensors`, with `-` in place of the colon:

    <size>.images                                  normalised, [1, 3, height, width]
    <size>.<class>.gradcam, .layercam              [height / 32, width / 32], after ReLU, not scaled
    <size>.<class>.gradcam_block, .layercam_block  the same at the output of block 4, whose gradients need autograd
    <size>.<class>.occlusion                       [14, 14], the mean drop of the logit per cell
    <size>.<class>.scorecam, .scorecam_block       at the final activation, and at the output of block 4;
                                                   the former only of lite0, because it takes 1280 passes

Gradients come from autograd, so that the test does not assume what the library does: that at the final activation they
are the classifier's weights.
"""

import sys

import torch
from safetensors.torch import save_file
from torch.nn import functional

import network_models as models

SIZES = ((96, 96), (75, 130))
BLOCK = 4
CELLS, HIDDEN = 14, 3


def layer_of(network, block=None):
    """The module whose output is the last activation, or the output of a block."""
    if hasattr(network, "features"):  # torchvision
        blocks = [block for stage in network.features[1:-1] for block in stage]
        return network.features[-1] if block is None else blocks[block]
    return network.bn2 if block is None else [block for stage in network.blocks for block in stage][block]


class Recorded:
    """Keeps what a layer returned, and the gradient that arrives there."""

    def __init__(self, layer):
        self.hook = layer.register_forward_hook(self.record)

    def record(self, layer, inputs, output):
        self.activations = output.detach()
        output = output.clone().requires_grad_()
        output.retain_grad()
        self.output = output
        return output


def gradient_maps(network, image, class_, block=None):
    recorded = Recorded(layer_of(network, block))
    with torch.enable_grad():
        network(image)[0, class_].backward()
    recorded.hook.remove()
    gradient, activations = recorded.output.grad[0], recorded.activations[0]
    network.zero_grad()
    gradcam = (gradient.mean((1, 2), keepdim=True) * activations).sum(0)
    layercam = (gradient.clamp(min=0) * activations).sum(0)
    return gradcam.clamp(min=0), layercam.clamp(min=0)


@torch.no_grad()
def occlusion(network, image, class_):
    """As captum's Occlusion, with a baseline of 0, on a grid of cells that need not have a whole number of pixels."""
    height, width = image.shape[2:]
    rows = [cell * height // CELLS for cell in range(CELLS + 1)]
    columns = [cell * width // CELLS for cell in range(CELLS + 1)]
    places = range(CELLS - HIDDEN + 1)
    squares = [(row, column) for row in places for column in places]
    hidden = image.repeat(len(squares), 1, 1, 1)
    for image_, (row, column) in zip(hidden, squares):
        image_[:, rows[row] : rows[row + HIDDEN], columns[column] : columns[column + HIDDEN]] = 0
    logits = torch.cat([network(part)[:, class_] for part in hidden.split(48)])
    drops, covered = torch.zeros(CELLS, CELLS), torch.zeros(CELLS, CELLS)
    for (row, column), drop in zip(squares, network(image)[0, class_] - logits):
        cells = slice(row, row + HIDDEN), slice(column, column + HIDDEN)
        drops[cells] += drop
        covered[cells] += 1
    return drops / covered


@torch.no_grad()
def scorecam(network, image, class_, block=None):
    """As grad-cam's ScoreCAM, except that masks are enlarged without aligning the corners, as the paper's code does."""
    recorded = Recorded(layer_of(network, block))
    network(image)
    recorded.hook.remove()
    activations = recorded.activations
    masks = functional.interpolate(activations, image.shape[2:], mode="bilinear")[0]
    least, most = masks.amin((1, 2), keepdim=True), masks.amax((1, 2), keepdim=True)
    masks = (masks - least) / (most - least + 1e-8)
    logits = [network(image * part[:, None])[:, class_] for part in masks.split(64)]
    weights = torch.cat(logits).softmax(0)
    return (weights[:, None, None] * activations[0]).sum(0).clamp(min=0)


def make(folder, cases):
    # Of images this small, several threads would do little but wait for each other.
    torch.set_num_threads(1)
    for case in cases:
        model, variant = case.split(":")
        network = models.build(model, variant, models.calibrated(model, variant))
        path = f"{folder}/{model}-{variant}"
        torch.save(network.state_dict(), f"{path}.pth")
        expected = {}
        for height, width in SIZES:
            image = models.smooth_images(1, 3, height, width, seed=9)
            size = f"{height}x{width}"
            expected[f"{size}.images"] = image
            with torch.no_grad():
                ranked = network(image)[0].argsort(descending=True).tolist()
            for class_ in (ranked[0], ranked[1], ranked[500]):
                name = f"{size}.{class_}"
                for suffix, block in (("", None), ("_block", BLOCK)):
                    for kind, map_ in zip(("gradcam", "layercam"), gradient_maps(network, image, class_, block)):
                        expected[f"{name}.{kind}{suffix}"] = map_
            name = f"{size}.{ranked[0]}"
            expected[f"{name}.occlusion"] = occlusion(network, image, ranked[0])
            expected[f"{name}.scorecam_block"] = scorecam(network, image, ranked[0], BLOCK)
            if variant == "lite0" and (height, width) == SIZES[0]:
                expected[f"{name}.scorecam"] = scorecam(network, image, ranked[0])
        save_file({name: tensor.contiguous() for name, tensor in expected.items()}, f"{path}.safetensors")


def check():
    import pytorch_grad_cam as package
    from pytorch_grad_cam.utils.image import scale_cam_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    def scaled(map_):
        map_ = map_ - map_.min()
        return map_ / (1e-7 + map_.max())

    class AlignedScoreCAM(package.ScoreCAM):
        """Enlarges without aligning the corners."""

        def get_cam_weights(self, *arguments):
            aligned = torch.nn.UpsamplingBilinear2d
            torch.nn.UpsamplingBilinear2d = lambda size: torch.nn.Upsample(size, mode="bilinear")
            try:
                return super().get_cam_weights(*arguments)
            finally:
                torch.nn.UpsamplingBilinear2d = aligned

    for model, variant in (("timm", "b0"), ("timm-tf", "lite0"), ("torchvision", "b0")):
        network = models.build(model, variant, models.calibrated(model, variant))
        for height, width in SIZES:
            image = models.smooth_images(1, 3, height, width, seed=9)
            class_ = network(image)[0].argmax().item()
            ours = {}
            for block in (None, BLOCK):
                for name, map_ in zip(("GradCAM", "LayerCAM"), gradient_maps(network, image, class_, block)):
                    ours[name, block] = map_
            # At the final activation, the package needs minutes.
            ours["ScoreCAM", BLOCK] = scorecam(network, image, class_, BLOCK)
            for (name, block), map_ in ours.items():
                kind = AlignedScoreCAM if name == "ScoreCAM" else getattr(package, name)
                layer = layer_of(network, block)
                with kind(model=network, target_layers=[layer]) as method:
                    # Before it is enlarged to the size of the image.
                    method.aggregate_multi_layers = lambda maps: maps[0]
                    method.get_target_width_height = lambda tensor: None
                    original = package.base_cam.scale_cam_image
                    package.base_cam.scale_cam_image = lambda cam, size=None: scale_cam_image(cam)
                    found = method(image, [ClassifierOutputTarget(class_)])
                    package.base_cam.scale_cam_image = original
                difference = (torch.as_tensor(found).squeeze() - scaled(map_)).abs().max().item()
                print(f"{model}:{variant} {height}x{width} {name} {block}: {difference:.1e}")
                assert difference < 1e-5


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        check()
    else:
        make(sys.argv[1], sys.argv[2:])
