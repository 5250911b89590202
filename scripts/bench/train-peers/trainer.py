"""One peer: takes one training step per line on stdin and answers with its milliseconds, after a first one.
train_peers.py starts it in its own process:

    trainer.py NAME PRECISION VARIANT BATCH SIZE THREADS DEVICE
"""

import sys
import time

import torch

NAMES = ("efficientnet_pytorch", "timm channels_last", "timm", "torchvision channels_last")
# On a CPU, torch.compile takes longer than the whole measurement.
DEVICE_NAMES = (*NAMES, "timm channels_last compiled")


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
    name, precision, variant, batch, size, threads, device = sys.argv[1:]
    torch.set_num_threads(int(threads))
    # As timm's train.py, but with exact 32 bits.
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    layout = torch.channels_last if "channels_last" in name else torch.contiguous_format
    network = build(name, variant).train().to(device, memory_format=layout)
    images = torch.randn(int(batch), 3, int(size), int(size), device=device).to(memory_format=layout)
    labels = torch.arange(int(batch), device=device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-5)

    forward = torch.compile(network) if name.endswith("compiled") else network
    kind = torch.device(device).type

    def step():
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16"):
            logits = forward(images)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        loss.item()
        return (time.perf_counter() - start) * 1e3

    print("ready", step(), flush=True)
    for _ in sys.stdin:
        print(step(), flush=True)


if __name__ == "__main__":
    main()
