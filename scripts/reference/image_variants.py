"""Creates TIFF, BMP and PNM files with every combination of what their headers can say.

    image_variants.py OUT [WIDTH HEIGHT]

OUT receives the files that Pillow opens, `NAME.rgb` (the pixels after exif_transpose and convert("RGB"), [height,
width, 3] bytes), and `cases.tsv`: name, width, height, `-`, as image_formats.py writes them. Files whose feature is
not supported are listed in `unsupported.tsv`: name, and the words that the message must contain.

Left out, because Pillow shows other pixels than the file has: uncompressed TIFFs in planes of 16 bits, in tiled
planes with a fourth channel that nothing describes, or with subsampled chroma; compressed big-endian TIFFs of signed
or floating-point grey, whose bytes it swaps; bitmaps of 4 or 8 bits with a palette of only black and white.
"""

import io
import itertools
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, features

RAW, LZW, JPEG, DEFLATE, PACKBITS, OLD_LZW = 1, 5, 7, 8, 32773, -5


def bits_to_bytes(codes, little):
    """Packs codes of 9 bits, from the low or the high bit of each byte."""
    bits = [(code >> (i if little else 8 - i)) & 1 for code in codes for i in range(9)]
    return np.packbits(np.array(bits, np.uint8), bitorder="little" if little else "big").tobytes()


def lzw(data, little):
    """Literals only, with the table cleared before codes would grow beyond 9 bits."""
    codes = []
    for at in range(0, len(data), 200):
        codes += [256, *data[at:at + 200]]
    return bits_to_bytes([*(codes or [256]), 257], little)


def packbits(data):
    out = b""
    at = 0
    while at < len(data):
        run = 1
        while run < 128 and at + run < len(data) and data[at + run] == data[at]:
            run += 1
        if run > 2:
            out, at = out + bytes([257 - run, data[at]]), at + run
        else:
            piece = data[at:at + 7]
            out, at = out + bytes([len(piece) - 1]) + piece, at + len(piece)
    return out


def compressed(data, method):
    return {RAW: bytes, LZW: lambda d: lzw(d, False), OLD_LZW: lambda d: lzw(d, True), DEFLATE: zlib.compress,
            PACKBITS: packbits}[method](data)


def differences(samples):
    """The horizontal predictor: [height, width, channels], modulo the type."""
    out = samples.copy()
    out[:, 1:] -= samples[:, :-1]
    return out


def packed(samples, bits, order):
    """Rows of [height, width, channels] samples, padded to bytes."""
    rows = samples.reshape(samples.shape[0], -1)
    if bits in (8, 16, 32):
        return [row.astype(row.dtype.newbyteorder(order)).tobytes() for row in rows]
    planes = (rows[..., None].astype(np.uint32) >> np.arange(bits - 1, -1, -1)) & 1
    return [np.packbits(row.astype(np.uint8)).tobytes() for row in planes.reshape(len(rows), -1)]


def blocks(ycc, across, down):
    """Rows of YCbCr blocks: luma of across x down pixels, then one Cb and one Cr."""
    height, width, _ = ycc.shape
    full = np.pad(ycc, ((0, -height % down), (0, -width % across), (0, 0)), mode="edge")
    rows = []
    for y in range(0, full.shape[0], down):
        row = b""
        for x in range(0, full.shape[1], across):
            block = full[y:y + down, x:x + across]
            row += block[..., 0].tobytes() + block[0, 0, 1:].tobytes()
        rows.append(row)
    return rows


def reversed_bits(data):
    return np.packbits(np.unpackbits(np.frombuffer(data, np.uint8)), bitorder="little").tobytes()


def directory(entries, order, big):
    """A TIFF whose data come first. `entries` maps tags to (type, values)."""
    number = {1: "B", 3: "H", 4: "I", 5: "II", 16: "Q"}
    inline, count, size = (8, "Q", 16) if big else (4, "I", 8)
    base = 16 if big else 8
    spill, fields = b"", b""
    start = base
    for tag, (kind, values) in sorted(entries.items()):
        data = b"".join(struct.pack(order + number[kind], *(v if isinstance(v, tuple) else (v,))) for v in values)
        if len(data) > inline:
            where = struct.pack(order + count, start + len(spill))
            spill += data + b"\0" * (len(data) % 2)
            data = where
        fields += struct.pack(order + "HH" + count, tag, kind, len(values)) + data.ljust(inline, b"\0")
    mark = b"II" if order == "<" else b"MM"
    if big:
        head = mark + struct.pack(order + "HHHQ", 43, 8, 0, start + len(spill))
        return head, spill, struct.pack(order + "Q", len(entries)) + fields + bytes(8)
    head = mark + struct.pack(order + "HI", 42, start + len(spill))
    return head, spill, struct.pack(order + "H", len(entries)) + fields + bytes(4)


def tiff(samples, bits, photometric, *, order="<", big=False, method=RAW, planar=False, tile=None, rows=3,
         predictor=1, fill=1, kind=1, extra=(), table=None, subsampling=None, tags=None):
    height, width, channels = samples.shape
    planes = [samples[..., i:i + 1] for i in range(channels)] if planar else [samples]
    pieces = []
    for plane in planes:
        tall, wide = (tile[1], tile[0]) if tile else (rows, width)
        for y, x in itertools.product(range(0, height, tall), range(0, width, wide)):
            piece = plane[y:y + tall, x:x + wide]
            if tile:
                short = ((0, tall - piece.shape[0]), (0, wide - piece.shape[1]), (0, 0))
                piece = np.pad(piece, short, mode="edge")
            if subsampling and not planar:
                data = b"".join(blocks(piece, *subsampling))
            else:
                data = b"".join(packed(differences(piece) if predictor == 2 else piece, bits, order))
            data = compressed(data, method)
            pieces.append(reversed_bits(data) if fill == 2 else data)
    entries = {256: (4, [width]), 257: (4, [height]), 258: (3, [bits] * channels), 259: (3, [abs(method)]),
               262: (3, [photometric]), 277: (3, [channels]), 284: (3, [2 if planar else 1])}
    if tile:
        entries |= {322: (3, [tile[0]]), 323: (3, [tile[1]])}
    else:
        entries |= {278: (4, [rows])}
    if predictor != 1:
        entries[317] = (3, [predictor])
    if fill != 1:
        entries[266] = (3, [fill])
    if kind != 1:
        entries[339] = (3, [kind] * channels)
    if extra:
        entries[338] = (3, list(extra))
    if table is not None:
        entries[320] = (3, table)
    if subsampling:
        entries[530] = (3, list(subsampling))
    entries |= tags or {}
    where, sizes = (324, 325) if tile else (273, 279)
    wide_type = 16 if big else 4
    lengths = [len(piece) for piece in pieces]
    entries[sizes] = (wide_type, lengths)
    entries[where] = (wide_type, [0] * len(pieces))
    head, spill, fields = directory(entries, order, big)
    offset = len(head) + len(spill) + len(fields)
    entries[where] = (wide_type, [offset + sum(lengths[:i]) for i in range(len(lengths))])
    head, spill, fields = directory(entries, order, big)
    return head + spill + fields + b"".join(pieces)


def kinds(random, width, height):
    """Name, samples, and options of every kind of pixel that Pillow's table of TIFF modes has."""
    def noise(bits, channels=1, dtype=None):
        smallest = np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32
        return random.integers(0, 1 << bits, (height, width, channels)).astype(dtype or smallest)

    for bits, white in itertools.product((1, 2, 4, 8), (0, 1)):
        yield f"gray{bits}-{'black' if white else 'white'}-is-zero", noise(bits), bits, white, {}
    yield "gray12", noise(12) // 8, 12, 1, {}
    yield "gray16", noise(16) // 128, 16, 1, {}
    yield "gray16-white-is-zero", noise(16) // 128, 16, 0, {}
    yield "gray16-signed", (noise(16) // 64).astype(np.int16) - 300, 16, 1, {"kind": 2}
    yield "gray8-signed", noise(8), 8, 1, {"kind": 2}
    yield "gray32-signed", noise(10).astype(np.int32) - 300, 32, 1, {"kind": 2}
    yield "gray32", noise(10).astype(np.uint32), 32, 1, {}
    yield "gray32-float", (noise(16) / 128 - 100).astype(np.float32), 32, 1, {"kind": 3}
    for extra in (0, 2):
        yield f"gray8-extra{extra}", noise(8, 2), 8, 1, {"extra": [extra]}
        yield f"palette8-extra{extra}", noise(8, 2), 8, 3, {"extra": [extra], "table": 256}
    for bits in (1, 2, 4, 8):
        yield f"palette{bits}", noise(bits), bits, 3, {"table": 1 << bits}
    yield "rgb8", noise(8, 3), 8, 2, {}
    yield "rgb16", noise(16, 3), 16, 2, {}
    for extra in ((), (0,), (1,), (2,), (999,)):
        yield f"rgb8-extra{'-'.join(map(str, extra))}", noise(8, 4), 8, 2, {"extra": extra}
        yield f"rgb16-extra{'-'.join(map(str, extra))}", noise(16, 4), 16, 2, {"extra": extra}
    for extra in ((0, 0), (1, 0), (2, 0, 0)):
        yield f"rgb8-extra{'-'.join(map(str, extra))}", noise(8, 3 + len(extra)), 8, 2, {"extra": extra}
    yield "cmyk8", noise(8, 4), 8, 5, {}
    yield "cmyk16", noise(16, 4), 16, 5, {}
    yield "cmyk8-extra", noise(8, 5), 8, 5, {"extra": [0]}
    for across, down in ((1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (4, 2), (4, 4)):
        yield f"ycbcr{across}{down}", noise(8, 3), 8, 6, {"subsampling": (across, down)}


def tiff_cases(random, width, height):
    for name, samples, bits, photometric, options in kinds(random, width, height):
        options = dict(options)
        if "table" in options:
            options["table"] = random.integers(0, 65536, 3 * options["table"]).tolist()
        subsampled = options.get("subsampling", (1, 1)) != (1, 1)
        for method, order, planar, tile, predictor, fill in itertools.product(
                (RAW, LZW, OLD_LZW, DEFLATE, PACKBITS), "<>", (False, True), (None, (16, 16)), (1, 2), (1, 2)):
            channels = samples.shape[2]
            predicts = method in (LZW, DEFLATE) and bits in (8, 16, 32) and not subsampled and options.get("kind") != 3
            if (predictor == 2 and not predicts) or (planar and (channels == 1 or subsampled)):
                continue
            # See the comment at the top.
            undescribed = photometric == 2 and channels == 4 and not options.get("extra")
            if method == RAW and ((planar and (bits == 16 or (tile and undescribed))) or subsampled):
                continue
            if method != RAW and order == ">" and bits > 8 and options.get("kind"):
                continue
            # A part of the product is enough: tiles and big-endian files combine with everything else alike.
            if fill == 2 and (tile or planar or predictor == 2):
                continue
            rows = 4 if subsampled else 3
            parts = [name, str(method), "mm" if order == ">" else "ii", "planar" if planar else "", "tiled" if tile else "",
                     "predictor" if predictor == 2 else "", "fill2" if fill == 2 else ""]
            yield "-".join(filter(None, parts)) + ".tif", tiff(
                samples, bits, photometric, method=method, order=order, planar=planar, tile=tile, predictor=predictor,
                fill=fill, rows=rows, **options)
    rgb = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
    for order in "<>":
        yield f"big-{'mm' if order == '>' else 'ii'}.tif", tiff(rgb, 8, 2, order=order, big=True, method=LZW)
    for orientation in range(1, 9):
        yield f"orientation{orientation}.tif", tiff(rgb, 8, 2, tags={274: (3, [orientation])})
    xmp = list(b'<x tiff:Orientation="6"/>')
    yield "orientation-xmp.tif", tiff(rgb, 8, 2, tags={700: (1, xmp)})
    yield "one-value-for-all-bits.tif", tiff(rgb, 8, 2, tags={258: (3, [8])})
    yield "no-rows-per-strip.tif", tiff(rgb, 8, 2, rows=height, tags={278: (4, [2**32 - 1])})
    coefficients = {529: (5, [(2126, 10000), (7152, 10000), (722, 10000)]),
                    532: (5, [(16, 1), (235, 1), (128, 1), (240, 1), (128, 1), (240, 1)])}
    yield "ycbcr-coefficients.tif", tiff(rgb, 8, 6, method=LZW, rows=4, subsampling=(2, 2), tags=coefficients)
    yield "ycbcr-default-subsampling.tif", tiff_without(530, rgb)


def tiff_without(tag, rgb):
    """YCbCr without the tag of its subsampling, which then is 2 x 2."""
    data = tiff(rgb, 8, 6, method=LZW, rows=4, subsampling=(2, 2))
    entry = struct.pack("<HHI", tag, 3, 2)
    return data.replace(entry, struct.pack("<HHI", 65000, 3, 2))


def saved(image, **options):
    out = io.BytesIO()
    image.save(out, "TIFF", **options)
    return out.getvalue()


def libtiff_cases(random, width, height):
    """What Pillow's libtiff writes."""
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([x * 255 // width, y * 255 // height, (x + y) * 3 % 256], 2).astype(np.uint8)
    rgb = Image.fromarray(smooth, "RGB")
    bits = Image.fromarray(random.random((height, width)) > np.linspace(0.1, 0.9, width)[None])
    yield from old_jpeg_cases(width, height)
    for method in ("group3", "group4", "tiff_ccitt"):
        yield f"{method}.tif", saved(bits, compression=method)
        yield f"{method}-white-is-zero.tif", saved(bits, compression=method, tiffinfo={262: 0})
    for option in (0, 1, 4, 5):
        yield f"group3-options{option}.tif", saved(bits, compression="group3", tiffinfo={292: option})
    for mode in ("L", "RGB", "CMYK", "RGBA"):
        for method in ("jpeg", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"):
            if method == "jpeg" and mode == "RGBA":
                continue
            yield f"{mode}-{method}.tif", saved(rgb.convert(mode), compression=method)
    for quality, strip in itertools.product((30, 95), (8, 16, 1 << 20)):
        yield f"ycbcr-jpeg{quality}-{strip}.tif", saved(
            rgb.convert("YCbCr"), compression="jpeg", quality=quality, strip_size=strip * width * 3)
    for predictor in (2, 3):
        yield f"float-predictor{predictor}.tif", saved(
            Image.fromarray(random.random((height, width)).astype(np.float32) * 400), compression="tiff_lzw",
            tiffinfo={317: predictor})


def segments(jpeg):
    """The segments of a JPEG as (marker, body), and its entropy-coded data."""
    at, found = 2, []
    while True:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2:at + 4], "big")
        found.append((marker, jpeg[at + 4:at + 2 + length]))
        at += 2 + length
        if marker == 0xDA:
            return found, jpeg[at:-2]


def old_jpeg_cases(width, height):
    """Compression 6: the tables in a stream that the directory points to, or one by one."""
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([x * 255 // width, y * 255 // height, (x + y) * 3 % 256], 2).astype(np.uint8)
    for (across, down), sampling in (((1, 1), "4:4:4"), ((2, 1), "4:2:2"), ((2, 2), "4:2:0")):
        out = io.BytesIO()
        Image.fromarray(smooth, "RGB").save(out, "JPEG", quality=70, subsampling=sampling)
        stream = out.getvalue()
        parts, data = segments(stream)
        tables = {"quantization": {}, "dc": {}, "ac": {}}
        for marker, body in parts:
            if marker == 0xDB:
                tables["quantization"][body[0]] = body[1:65]
            elif marker == 0xC4:
                tables["ac" if body[0] >> 4 else "dc"][body[0] & 15] = body[1:]
        common = {256: (4, [width]), 257: (4, [height]), 258: (3, [8] * 3), 259: (3, [6]), 262: (3, [6]),
                  277: (3, [3]), 278: (4, [height]), 284: (3, [1]), 530: (3, [across, down])}
        # The data come first, behind a header of 8 bytes.
        entries = common | {273: (4, [8]), 279: (4, [len(stream)]), 513: (4, [8]), 514: (4, [len(stream)])}
        yield f"old-jpeg-stream-{across}{down}.tif", after_data(stream, entries)
        del entries[513], entries[514], entries[262], entries[277]
        yield f"old-jpeg-strip-{across}{down}.tif", after_data(stream, entries)
        body, offsets = b"", {}
        for name in tables:
            offsets[name] = []
            for channel in (0, 1, 1):
                offsets[name].append(8 + len(body))
                body += tables[name][channel]
        entries = common | {512: (3, [1]), 519: (4, offsets["quantization"]), 520: (4, offsets["dc"]),
                            521: (4, offsets["ac"]), 273: (4, [8 + len(body)]), 279: (4, [len(data)])}
        yield f"old-jpeg-tables-{across}{down}.tif", after_data(body + data, entries)


def after_data(data, entries):
    """A little-endian TIFF whose directory follows `data`, which start at 8."""
    data += b"\0" * (len(data) % 2)
    fields, spill = b"", b""
    after = 8 + len(data) + 2 + 12 * len(entries) + 4
    for tag, (kind, values) in sorted(entries.items()):
        packed_values = struct.pack("<" + {3: "H", 4: "I"}[kind] * len(values), *values)
        if len(packed_values) > 4:
            packed_values, spill = struct.pack("<I", after + len(spill)), spill + packed_values
        fields += struct.pack("<HHI", tag, kind, len(values)) + packed_values.ljust(4, b"\0")
    return (b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries)) + fields + bytes(4)
            + spill)


def bmp(size, bits, rows, *, width, height, compression=0, colors=0, palette=b"", masks=b"", offset=None, gap=b""):
    data = rows if isinstance(rows, bytes) else b"".join(row + b"\0" * (-len(row) % 4) for row in rows)
    if size == 12:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        header = struct.pack("<IiiHHIIIIII", size, width, height, 1, bits, compression, len(data), 0, 0, colors, 0)
        header += (masks if size > 40 else b"").ljust(size - 40, b"\0")[:size - 40]
    tail = (masks[:12] if size == 40 else b"") + palette + gap
    start = 14 + len(header) + len(tail) if offset is None else offset
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(tail) + len(data), 0, 0, start) + header + tail + data


def bmp_cases(random, width, height):
    size_of = {"width": width, "height": height}
    sizes = (12, 40, 52, 56, 64, 108, 124)
    for bits, size in itertools.product((1, 4, 8), sizes):
        rows = packed(random.integers(0, 1 << bits, (height, width, 1)).astype(np.uint8), bits, "<")
        count, entry = 1 << bits, 3 if size == 12 else 4
        palette = random.integers(0, 256, count * entry).astype(np.uint8).tobytes()
        for name, options in (("", {}), ("-behind-header", {"offset": 14 + size}), ("-offset0", {"offset": 0}),
                              ("-gap", {"gap": b"12345"}), ("-early", {"offset": 14 + size + 4})):
            yield f"palette{bits}-{size}{name}.bmp", bmp(size, bits, rows, palette=palette, **options, **size_of)
        if size == 12:
            continue
        yield f"palette{bits}-{size}-top.bmp", bmp(size, bits, rows, palette=palette, width=width, height=-height)
        few = max(count - 3, 1)
        yield f"palette{bits}-{size}-few.bmp", bmp(
            size, bits, rows, palette=palette[:4 * few], colors=few, offset=14 + size, **size_of)
    greys = np.repeat(np.arange(100, dtype=np.uint8), 4).tobytes()
    rows = packed(random.integers(0, 256, (height, width, 1)).astype(np.uint8), 8, "<")
    yield "grey-ramp-ends.bmp", bmp(40, 8, rows, palette=greys, colors=100, **size_of)
    masks = ((0xFF0000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0), (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
             (0xFF000000, 0xFF0000, 0xFF00, 0xFF), (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0, 0, 0, 0),
             (0xF800, 0x7E0, 0x1F, 0), (0x7C00, 0x3E0, 0x1F, 0))
    for bits, size in itertools.product((16, 24, 32), sizes):
        rows = packed(random.integers(0, 256, (height, width, bits // 8)).astype(np.uint8), 8, "<")
        yield f"rgb{bits}-{size}.bmp", bmp(size, bits, rows, **size_of)
        if size == 12:
            continue
        yield f"rgb{bits}-{size}-top.bmp", bmp(size, bits, rows, width=width, height=-height)
        for index, mask in enumerate(masks):
            yield f"rgb{bits}-{size}-masks{index}.bmp", bmp(
                size, bits, rows, compression=3, masks=struct.pack("<IIII", *mask), **size_of)
    for bits, method, seed in itertools.product((4, 8), (1, 2), range(20)):
        palette = random.integers(0, 256, 4 << bits).astype(np.uint8).tobytes()
        data = runs(np.random.default_rng(seed), method == 2) + b"\0\0" * height
        yield f"rle{bits}-{method}-{seed}.bmp", bmp(
            40, bits, data, compression=method, palette=palette, gap=b"x" * (seed % 2), **size_of)
    yield "bare.dib", bmp(40, 24, rows[:0] + packed(random.integers(
        0, 256, (height, width, 3)).astype(np.uint8), 8, "<"), **size_of)[14:]


def runs(random, is_rle4):
    data = b""
    for _ in range(random.integers(3, 40)):
        choice = random.integers(0, 6)
        if choice < 2:
            data += bytes([random.integers(1, 20), random.integers(0, 256)])
        elif choice == 2:
            data += b"\0\0"
        elif choice == 3:
            data += b"\0\2" + bytes([random.integers(0, 5), random.integers(0, 2)])
        else:
            count = int(random.integers(3, 14))
            length = (count + 1) // 2 if is_rle4 else count
            data += bytes([0, count]) + random.bytes(length) + b"\0" * (length % 2)
    return data


def pnm_cases(random, width, height):
    separators = (b"\n", b" ", b"\n# a comment\n", b"\t\r\n", b" #x\r", b"\x0b")
    for (index, gap), largest in itertools.product(enumerate(separators), (1, 3, 100, 255, 256, 1000, 4095, 65535)):
        head = gap.join(b"%d" % value for value in (width, height, largest))
        for magic, channels in ((b"P2", 1), (b"P3", 3), (b"P5", 1), (b"P6", 3)):
            values = random.integers(0, largest + 1, height * width * channels)
            if magic in (b"P2", b"P3"):
                data = b" ".join(b"%d" % value for value in values)
                data = data[:40].rsplit(b" ", 1)[0] + b" # half\n" + data[len(data[:40].rsplit(b" ", 1)[0]):]
            else:
                data = values.astype(">u2" if largest > 255 else np.uint8).tobytes()
            yield f"{magic.decode()}-{largest}-{index}.pnm", magic + b"\n" + head + b"\n" + data
        over = random.bytes(width * height)
        yield f"P5-{largest}-{index}-over.pgm", b"P5" + gap + head + b"\n" + over * 2
    for index, gap in enumerate(separators):
        head = gap + gap.join(b"%d" % value for value in (width, height)) + b"\n"
        bits = [b"%d" % bit for bit in random.integers(0, 2, width * height)]
        yield f"P1-{index}.pbm", b"P1" + head + b" ".join(bits)
        yield f"P1-{index}-dense.pbm", b"P1" + head + b"".join(bits)
        yield f"P4-{index}.pbm", b"P4" + head + random.bytes((width + 7) // 8 * height)
    for scale in (b"-1.0", b"1", b"-0.5"):
        values = (random.random(width * height) * 300 - 20).astype("<f4" if scale[:1] == b"-" else ">f4")
        yield f"Pf{scale.decode()}.pfm", b"Pf\n%d %d\n" % (width, height) + scale + b"\n" + values.tobytes()


def unsupported(random, width, height):
    """Files that are sound but not read, and what the message must name."""
    rgb = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
    for method, words in ((34661, "JBIG compression"), (34712, "JPEG 2000"),
                          (34887, "LERC compression"), (34925, "LZMA compression"), (32809, "ThunderScan"),
                          (50002, "JPEG XL"), (12345, "compression method 12345")):
        yield f"compression{method}.tif", tiff(rgb, 8, 2, tags={259: (3, [method])}), words
    yield "lab.tif", tiff(rgb, 8, 8), "CIELab colours"
    yield "float64.tif", tiff(rgb[..., :1], 8, 1, tags={258: (3, [64]), 339: (3, [3])}), "floating-point samples of 64 bits"
    yield "rgb12.tif", tiff(rgb, 8, 2, tags={258: (3, [12] * 3)}), "unsigned samples of 12 bits in RGB colours"
    yield "565.tif", tiff(rgb, 8, 2, tags={258: (3, [5, 6, 5])}), "different depths"
    yield "cfa.tif", tiff(rgb[..., :1], 8, 32803), "color filter array"
    yield "channels.tif", tiff(np.concatenate([rgb, rgb], 2), 8, 1, extra=(0,) * 5), "6 channels"
    for method, words in ((4, "JPEG"), (5, "PNG")):
        yield f"embedded{method}.bmp", bmp(40, 24, b"", compression=method, width=width, height=height), words
    yield "pam.pnm", b"P7\nWIDTH 1\n", "PAM"


def main():
    out = Path(sys.argv[1])
    width, height = map(int, sys.argv[2:4]) if len(sys.argv) > 2 else (29, 21)
    out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(23)
    lines = []
    for cases in (tiff_cases, libtiff_cases, bmp_cases, pnm_cases):
        for name, data in cases(random, width, height):
            try:
                image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
            except Exception:  # Whatever the reason, Pillow does not open it.
                continue
            (out / name).write_bytes(data)
            (out / f"{name}.rgb").write_bytes(image.tobytes())
            lines.append(f"{name}\t{image.width}\t{image.height}\t-\n")
    (out / "cases.tsv").write_text("".join(lines))
    lines = []
    for name, data, words in unsupported(random, width, height):
        (out / name).write_bytes(data)
        lines.append(f"{name}\t{words}\n")
    (out / "unsupported.tsv").write_text("".join(lines))


if __name__ == "__main__":
    assert features.check("libtiff"), "a Pillow with libtiff is needed"
    main()
