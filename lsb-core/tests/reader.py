#!/usr/bin/env python3
"""A second reader of protected pictures, written from docs/envelope.md alone, with nothing but Python's standard library.

`reader.py FILE.png DENIED.png` prints what the file tells everybody as JSON, and writes its denied picture. Not checked:
signatures, since Python brings no Ed25519. Not read: kinds of PNG that are never written (interlaced, palettes, few bits).
"""
import hashlib, json, pathlib, struct, sys, zlib


class Fields:
    """Bytes, taken field by field: big-endian, the layout in the letters of `struct`."""
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, layout):
        fields = struct.unpack_from(">" + layout, self.data, self.at)
        self.at += struct.calcsize(">" + layout)
        return fields if len(fields) > 1 else fields[0]


def opaque_pixels(file):
    """The colour samples of every opaque pixel, row by row. PNG specification, §5 to §9."""
    png, kind, data = Fields(file), b"", b""
    assert png.take("8s") == b"\x89PNG\r\n\x1a\n", "not a PNG file"
    while kind != b"IEND":
        length, kind = png.take("I4s")
        content, checksum = png.take(f"{length}sI")
        assert zlib.crc32(kind + content) == checksum, "a damaged chunk"
        if kind == b"IHDR":
            width, height, depth, color, _, _, interlaced = Fields(content).take("IIBBBBB")
        data += content if kind == b"IDAT" else b""
    assert not interlaced and depth >= 8 and color != 3, "a kind of PNG that is never written"
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[color]
    step, rows = channels * depth // 8, Fields(zlib.decompress(data))
    above = bytes(width * step)
    for _ in range(height):
        method, row = rows.take("B"), bytearray(rows.take(f"{width * step}s"))
        for i, b in enumerate(above):
            a, c = (row[i - step], above[i - step]) if i >= step else (0, 0)
            nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            row[i] = (row[i] + (0, a, b, (a + b) // 2, nearest)[method]) & 255
        for pixel in struct.iter_unpack(f">{channels}{'B' if depth == 8 else 'H'}", row):
            if channels % 2 or pixel[-1] == 2**depth - 1:
                yield pixel if channels % 2 else pixel[:-1]
        above = row


def payload(carriers, bits, length):
    """§1: one row of bits, the most significant of each byte first."""
    row = "".join(format(sample % 2**bits, f"0{bits}b") for sample in carriers[:-(-length * 8 // bits)])
    assert len(row) >= length * 8, "a picture without room: nothing of ours, or cut off"
    return int(row[:length * 8], 2).to_bytes(length, "big")


def scattered(carriers, bits, length, salt):
    """§1.1: the samples that carry, in their order."""
    groups, used = len(carriers) // 8, -(-length // bits)
    for block, first in enumerate(range(0, groups, 512)):
        end = min(groups, first + 512)
        share = end * used // groups - first * used // groups
        z = (salt + (block + 1) * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        z3, z2, z1, z0 = struct.unpack(">4H", (z ^ z >> 31).to_bytes(8, "big"))
        order = ((i * (z0 | 1) + z2) % 4096 for i in range(4096))
        order = (((s ^ s >> 6) * (z1 | 1) + z3) % 4096 for s in order)
        inside = [p for p in order if p < (end - first) * 8]
        yield from (carriers[first * 8 + p] for p in inside[:share * 8])


def body_of(file):
    """§2: the preamble says how the body lies."""
    pixels = list(opaque_pixels(file))
    for channels in 3, 1:  # A grey picture that was saved as colour carries in the first channel alone.
        carriers = [sample for pixel in pixels for sample in pixel[:channels]]
        head = payload(carriers, 1, 32)
        if head.startswith(b"RLSB"):
            break
    magic, version, flags, bits, _, length, checksum, salt, crc = Fields(head).take("4sBBBBI8sQI")
    assert magic == b"RLSB", "a picture that is not ours"
    assert crc == zlib.crc32(head[:28]), "a damaged preamble"
    assert version == 1 and flags < 4 and 1 <= bits <= 4, "a layout of a newer program"
    rest = carriers[256:]
    body = payload(list(scattered(rest, bits, length, salt)) if flags & 1 else rest, bits, length)
    assert hashlib.sha256(body).digest()[:8] == checksum, "a damaged body"
    return body, {"bits": bits, "scattered": bool(flags & 1), "matched": bool(flags & 2), "body_bytes": length}


def policy_of(content):
    """§4."""
    policy, grants = Fields(content), []
    name = lambda: policy.take(f"{policy.take('B')}s").decode("ascii")
    assert policy.take("B") == 1, "a policy of a newer program"
    owner, key = name(), policy.take("32s").hex()
    for _ in range(policy.take("H")):
        user, (flags, views, since, until) = name(), policy.take("BIQQ")
        grants.append({"user": user, "views": None if flags & 1 else views,
                       "not_before": since if flags & 2 else None, "expires": until if flags & 4 else None})
    assert policy.at == len(content), "bytes behind the policy"
    return {"owner": owner, "owner_key": key, "grants": grants}


def envelope_of(body):
    """§3: what everybody is told, and the denied picture."""
    fields = Fields(body)
    magic, version, mode, suite, identity, cluster, created, policy_version = fields.take("4sHBB16s16sQQ")
    assert magic == b"LSBE" and version == 1 and suite == 1, "an envelope of a newer program"
    policy_hash, count, _ = fields.take("32sHH")
    table = [fields.take("HHI32s") for _ in range(count)]
    fields.take("64s")  # The owner's signature.
    contents = {kind: fields.take(f"{length}s") for kind, _, length, _ in table}
    hashes = {kind: hashlib.sha256(content).digest() for kind, content in contents.items()}
    assert all(hashes[kind] == digest for kind, _, _, digest in table), "a section that its owner did not sign"
    assert hashes[1] == policy_hash, "another policy than the header names"
    for _ in "receipt", "status":
        fields.take(f"{fields.take('H')}s")
    assert fields.at == len(body), "bytes behind the envelope"
    sections = [{"kind": kind, "bytes": length, "sha256": digest.hex()} for kind, _, length, digest in table]
    return {"mode": (None, "sealed", "preview", "cover", "label")[mode], "object": identity.hex(),
            "cluster": cluster.hex(), "created": created, "policy_version": policy_version,
            **policy_of(contents[1]), "sections": sections}, contents[2]


body, layout = body_of(pathlib.Path(sys.argv[1]).read_bytes())
told, denied = envelope_of(body)
pathlib.Path(sys.argv[2]).write_bytes(denied)
print(json.dumps({**told, **layout}, indent=2))
