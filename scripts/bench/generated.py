"""Generates weights and images for measurements, with the standard library only.

The values are random and the same in every run. Batch normalisation has the statistics that its input
is expected to have, so that logits neither explode nor vanish in the deep networks.
"""

import array
import json
import math
import random
import struct
import zlib

# Width, depth.
VARIANTS = {
    "b0": (1.0, 1.0), "b1": (1.0, 1.1), "b2": (1.1, 1.2), "b3": (1.2, 1.4),
    "b4": (1.4, 1.8), "b5": (1.6, 2.2), "b6": (1.8, 2.6), "b7": (2.0, 3.1),
}
# Repeats, kernel, expansion, input and output channels.
STAGES = (
    (1, 3, 1, 32, 16), (2, 3, 6, 16, 24), (2, 5, 6, 24, 40), (3, 3, 6, 40, 80),
    (3, 5, 6, 80, 112), (4, 5, 6, 112, 192), (1, 3, 6, 192, 320),
)
CLASSES = 1000


def channels(base, width):
    """`base` times `width`, rounded to a multiple of eight that is at least 90 % of it."""
    scaled = base * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * scaled else rounded + 8


class Network:
    """The tensors of a network in the order of its layers: name, shape and bytes of each."""

    def __init__(self, variant, seed):
        self.random = random.Random(f"{variant} {seed}")
        self.tensors = []
        width, depth = VARIANTS[variant]
        stem, head = channels(32, width), channels(1280, width)
        # Mean square of the swish of a batch normalisation's output. With less, the activations of some images
        # grow from block to block until the gates saturate; with more, B7's logits do not depend on the image.
        swished = 0.4
        self.convolution("_conv_stem", "_bn0", (stem, 3, 3, 3), 1.0)
        index, square, came = 0, swished, stem
        for repeats, kernel, expansion, _, output in STAGES:
            output = channels(output, width)
            for repeat in range(math.ceil(repeats * depth)):
                name, inner, gathered = f"_blocks.{index}", came * expansion, square
                if expansion != 1:
                    self.convolution(f"{name}._expand_conv", f"{name}._bn0", (inner, came, 1, 1), square)
                    gathered = swished
                self.convolution(f"{name}._depthwise_conv", f"{name}._bn1", (inner, 1, kernel, kernel), gathered)
                squeezed = max(1, came // 4)
                self.plain(f"{name}._se_reduce", (squeezed, inner, 1, 1), 1.0, 0.5)
                self.plain(f"{name}._se_expand", (inner, squeezed, 1, 1), 0.5, 0.8)
                # The gates are a little above 0.5.
                self.convolution(f"{name}._project_conv", f"{name}._bn2", (output, inner, 1, 1), swished * 0.28)
                square = 1.0 + (square if repeat else 0.0)
                came = output
                index += 1
        self.convolution("_conv_head", "_bn1", (head, came, 1, 1), square)
        self.plain("_fc", (CLASSES, head), 5.0, 0.1)

    def add(self, name, shape, data):
        self.tensors.append((name, shape, data))

    def weight(self, name, shape, square):
        """Adds random values with a mean square of about `square`; returns the exact one.

        Sign and mantissa are random, and the exponent is fixed. Whole tensors are drawn in one operation on a
        long integer: tens of millions of numbers one by one would take minutes.
        """
        count = math.prod(shape)
        # The mean square of a uniform distribution from 1 to 2 is 7/3.
        exponent = round(math.log2(square / (7 / 3)) / 2)
        masks = [int.from_bytes(struct.pack("<I", word) * count, "little")
                 for word in (0x807FFFFF, (127 + exponent) << 23)]
        bits = self.random.getrandbits(32 * count) & masks[0] | masks[1]
        self.add(name, shape, bits.to_bytes(4 * count, "little"))
        return 7 / 3 * 4.0**exponent

    def vector(self, name, count, low, high):
        values = array.array("f", (self.random.uniform(low, high) for _ in range(count)))
        self.add(name, (count,), values.tobytes())

    def convolution(self, name, norm, shape, square):
        fan = math.prod(shape[1:])
        spread = fan * square * self.weight(f"{name}.weight", shape, 1 / (fan * square))
        deviation = math.sqrt(spread)
        self.vector(f"{norm}.weight", shape[0], 0.7, 1.3)
        self.vector(f"{norm}.bias", shape[0], -0.3, 0.3)
        self.vector(f"{norm}.running_mean", shape[0], -0.3 * deviation, 0.3 * deviation)
        self.vector(f"{norm}.running_var", shape[0], 0.6 * spread, 1.4 * spread)
        self.add(f"{norm}.num_batches_tracked", (), bytes(8))

    def plain(self, name, shape, gain, bias):
        self.weight(f"{name}.weight", shape, gain / math.prod(shape[1:]))
        self.vector(f"{name}.bias", shape[0], -bias, bias)


def weights(variant, path, seed=0):
    """Writes weights for `variant`, under the original names, as safetensors."""
    header, end, tensors = {}, 0, Network(variant, seed).tensors
    for name, shape, data in tensors:
        kind = "F32" if shape else "I64"
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors:
            file.write(data)


def png(path, width, height, seed):
    """Writes an image of smooth colours with some noise."""
    source = random.Random(f"png {seed}")
    waves = [[(source.uniform(1, 9) / width, source.uniform(1, 9) / height, source.uniform(0, 6.3),
               source.uniform(15, 45)) for _ in range(3)] for _ in range(3)]
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        noise = source.randbytes(3 * width)
        for x in range(width):
            for colour, parts in enumerate(waves):
                value = 128 + sum(a * math.sin(x * u + y * v + w) for u, v, w, a in parts)
                value += (noise[3 * x + colour] - 128) / 6
                rows.append(min(255, max(0, int(value))))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.write(chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)))
        file.write(chunk(b"IDAT", zlib.compress(bytes(rows), 3)) + chunk(b"IEND", b""))


def jpeg(path, width, height, seed):
    """Writes a camera-like JPEG: chroma at half the resolution, and as many coefficients as in photos.

    The coefficients are drawn directly, without a transform. All Huffman codes have the same length.
    """
    source = random.Random(f"jpeg {seed}")
    symbols = [0x00, 0xF0] + [run << 4 | size for run in range(16) for size in range(1, 11)]
    code = {symbol: format(index, "08b") for index, symbol in enumerate(symbols)}

    def number(value):
        size = abs(value).bit_length()
        return size, format(value if value > 0 else value + (1 << size) - 1, f"0{size}b") if size else ""

    level, bits = [0, 0, 0], []
    for _ in range((width + 15) // 16 * ((height + 15) // 16)):
        for colour in (0, 0, 0, 0, 1, 2):
            step = source.randint(-9, 9) if colour == 0 else source.randint(-3, 3)
            if abs(level[colour] + step) > 50:
                step = -step
            level[colour] += step
            size, text = number(step)
            bits += (format(size, "04b"), text)
            place = 0
            for _ in range(source.randint(2, 16) if colour == 0 else source.randint(0, 4)):
                run = int(source.expovariate(0.6))
                if place + run > 61 or run > 15:
                    break
                place += run + 1
                size, text = number(source.choice((-1, 1)) * (1 + int(source.expovariate(place / 8))))
                bits += (code[run << 4 | size], text)
            bits.append(code[0x00])
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    data = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")

    def segment(marker, content):
        return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content

    quantisation = bytes(16 + 2 * place for place in range(64))
    frame = struct.pack(">BHHB", 8, height, width, 3) + bytes((1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0))
    codes = [bytes((kind,)) + bytes(len(of) if length == size else 0 for length in range(1, 17)) + bytes(of)
             for kind, size, of in ((0x00, 4, range(12)), (0x10, 8, symbols))]
    with open(path, "wb") as file:
        file.write(b"\xff\xd8" + segment(0xE0, b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"))
        file.write(segment(0xDB, b"\x00" + quantisation) + segment(0xC0, frame))
        file.write(b"".join(segment(0xC4, table) for table in codes))
        file.write(segment(0xDA, bytes((3, 1, 0, 2, 0, 3, 0, 0, 63, 0))) + data + b"\xff\xd9")
