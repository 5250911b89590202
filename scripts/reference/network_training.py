"""One training step in a reference package: loss, gradients and running statistics."""

from torch.nn import functional


def training_step(network, names, images, labels):
    """Runs forward and backward in training mode.

    `names` are the names to report tensors under, in state dict order: the original's, for every
    package. Returns `images`, `labels`, `logits`, `loss`, `gradient.<parameter>` and
    `after.<buffer>`.
    """
    network.train()
    network.zero_grad()
    logits = network(images)
    loss = functional.cross_entropy(logits, labels)
    loss.backward()

    expected = {"images": images, "labels": labels, "logits": logits, "loss": loss}
    parameters = dict(network.named_parameters())
    for (own, tensor), name in zip(network.state_dict().items(), names, strict=True):
        if own in parameters:
            expected[f"gradient.{name}"] = parameters[own].grad
        else:
            expected[f"after.{name}"] = tensor
    return {name: tensor.detach().clone().contiguous() for name, tensor in expected.items()}
