"""One peer: takes one training step per line on stdin and answers with its milliseconds. train_peers.py starts
it in its own process:

    trainer.py NAME PRECISION VARIANT BATCH SIZE THREADS
"""

import sys
import time

import torch

NAMES = ("efficientnet_pytorch", "timm channels_last", "timm", "torchvision channels_last")


def build(name, variant):
    """The networks with dropout and drop connect at their published rates."""
    if name == "efficientnet_pytorch":
        from efficientnet_pytorch import EfficientNet

        return EfficientNet.from_name(f"efficientnet-{variant}")
    if name.startswith("timm"):
        import timm

        return timm.create_model(f"tf_efficientnet_{variant}", drop_rate=0.2, drop_path_rate=0.2)
    import torchvision

    return getattr(torchvision.models, f"efficientnet_{variant}")(weights=None)


def main():
    name, precision, variant, batch, size, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    layout = torch.channels_last if name.endswith("channels_last") else torch.contiguous_format
    network = build(name, variant).train().to(memory_format=layout)
    images = torch.randn(int(batch), 3, int(size), int(size)).to(memory_format=layout)
    labels = torch.arange(int(batch))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-5)

    def step():
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = network(images)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        loss.item()
        return (time.perf_counter() - start) * 1e3

    step()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(step(), flush=True)


if __name__ == "__main__":
    main()
