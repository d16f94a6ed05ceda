#!/usr/bin/env python3
"""A second reader of protected pictures, written from docs/envelope.md alone, with nothing but Python's standard library.

Usage: reader.py FILE.png [DENIED.png]

Prints what the file tells everybody as JSON, and writes the denied picture. Signatures are not checked: Python brings no
Ed25519. Kinds of PNG that are never written (interlaced, palettes, fewer than 8 bits) are not read.
"""
import hashlib, json, struct, sys, zlib

MASK = 2**64 - 1


def need(condition, problem):
    if not condition:
        sys.exit(f"error: {problem}")


def samples_of(png):
    """Samples, samples per pixel, the value of an opaque alpha (none without alpha). PNG specification, §5 to §9."""
    need(png[:8] == b"\x89PNG\r\n\x1a\n", "not a PNG file")
    at, data, kind = 8, b"", b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", png[at:at + 8])
        content = png[at + 8:at + 8 + length]
        need(zlib.crc32(kind + content) == int.from_bytes(png[at + 8 + length:at + 12 + length], "big"), "a damaged chunk")
        at += 12 + length
        if kind == b"IHDR":
            width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", content)
        data += content if kind == b"IDAT" else b""
    need(not interlaced and depth >= 8 and color != 3, "a kind of PNG that is never written")
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[color]
    step, row_bytes = channels * depth // 8, width * channels * depth // 8
    data, above, samples = zlib.decompress(data), bytearray(row_bytes), []
    for start in range(0, height * (row_bytes + 1), row_bytes + 1):
        method, row = data[start], bytearray(data[start + 1:start + 1 + row_bytes])
        for i in range(row_bytes):
            a, b, c = (row[i - step] if i >= step else 0), above[i], (above[i - step] if i >= step else 0)
            nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            row[i] = (row[i] + (0, a, b, (a + b) // 2, nearest)[method]) & 255
        above = row
        samples += struct.unpack(f">{width * channels}H", row) if depth == 16 else row
    return samples, channels, 2**depth - 1 if color in (4, 6) else None


def carriers_of(samples, channels, opaque, grey=False):
    """§1: the colour samples of opaque pixels, or of grey saved as colour only the first of each pixel."""
    colors = channels - (opaque is not None)
    pixels = (samples[i:i + channels] for i in range(0, len(samples), channels))
    return [s for p in pixels if opaque is None or p[-1] == opaque for s in p[:1 if grey else colors]]


def payload(carriers, bits, length):
    """§1: rows of bits, the most significant first."""
    count = -(-length * 8 // bits)
    row = "".join(format(s & 2**bits - 1, f"0{bits}b") for s in carriers[:count])
    return int(row[:length * 8] or "0", 2).to_bytes(length, "big")


def scattered(carriers, bits, length, salt):
    """§1.1: the samples that carry, in their order."""
    groups, used = len(carriers) // 8, -(-length // bits)
    for block, first in enumerate(range(0, groups, 512)):
        end = min(groups, first + 512)
        share = end * used // groups - first * used // groups
        z = salt + (block + 1) * 0x9E3779B97F4A7C15 & MASK
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        z ^= z >> 31
        parts = [z >> 16 * i & 0xFFFF for i in range(4)]
        order = ((i * (parts[0] | 1) + parts[2]) % 4096 for i in range(4096))
        order = (((s ^ s >> 6) * (parts[1] | 1) + parts[3]) % 4096 for s in order)
        inside = [p for p in order if p < (end - first) * 8]
        yield from (carriers[first * 8 + p] for p in inside[:share * 8])


def body_of(png):
    """§2: the preamble says how the body lies."""
    samples, channels, opaque = samples_of(png)
    carriers = carriers_of(samples, channels, opaque)
    head = payload(carriers, 1, 32)
    if head[:4] != b"RLSB" and channels >= 3:
        carriers = carriers_of(samples, channels, opaque, grey=True)
        head = payload(carriers, 1, 32)
    need(len(carriers) >= 256 and head[:4] == b"RLSB", "nothing of ours is hidden here")
    _, version, flags, bits, _, length, checksum, salt, crc = struct.unpack(">4sBBBBI8sQI", head)
    need(crc == zlib.crc32(head[:28]), "a damaged preamble")
    need(version == 1 and flags < 4 and 1 <= bits <= 4, "a layout of a newer program")
    rest = carriers[256:]
    rest = list(scattered(rest, bits, length, salt)) if flags & 1 else rest
    need(len(rest) * bits >= length * 8, "a body that is cut off")
    body = payload(rest, bits, length)
    need(hashlib.sha256(body).digest()[:8] == checksum, "a damaged body")
    return body, {"bits": bits, "scattered": bool(flags & 1), "matched": bool(flags & 2), "body_bytes": length}


def policy_of(content):
    """§4."""
    def name(at):
        return content[at + 1:at + 1 + content[at]].decode("ascii"), at + 1 + content[at]
    need(content[0] == 1, "a policy of a newer program")
    owner, at = name(1)
    key, (count,), at, grants = content[at:at + 32].hex(), struct.unpack(">H", content[at + 32:at + 34]), at + 34, []
    for _ in range(count):
        user, at = name(at)
        flags, views, since, until = struct.unpack(">BIQQ", content[at:at + 21])
        grants.append({"user": user, "views": None if flags & 1 else views,
                       "not_before": since if flags & 2 else None, "expires": until if flags & 4 else None})
        at += 21
    need(at == len(content), "bytes behind the policy")
    return {"owner": owner, "owner_key": key, "grants": grants}


def envelope_of(body):
    """§3."""
    magic, version, mode, suite, *ids, created, policy_version, policy_hash, count, zero = struct.unpack(
        ">4sHBB16s16sQQ32sHH", body[:92])
    need(magic == b"LSBE" and version == 1 and suite == 1 and zero == 0, "an envelope of a newer program")
    at, sections, contents = 92 + 40 * count + 64, [], {}
    for entry in range(92, 92 + 40 * count, 40):
        kind, flags, length, digest = struct.unpack(">HHI32s", body[entry:entry + 40])
        contents[kind], at = body[at:at + length], at + length
        need(hashlib.sha256(contents[kind]).digest() == digest, f"section {kind} is not what its owner signed")
        sections.append({"kind": kind, "bytes": length, "sha256": digest.hex()})
    need(hashlib.sha256(contents[1]).digest() == policy_hash, "another policy than the header names")
    receipt = int.from_bytes(body[at:at + 2], "big")
    need(receipt in (0, 112), "a receipt of an impossible length")
    room = int.from_bytes(body[at + 2 + receipt:at + 4 + receipt], "big")
    need(at + 4 + receipt + room == len(body), "bytes behind the envelope")
    mode = {1: "sealed", 2: "preview", 3: "cover", 4: "label"}[mode]
    return {"mode": mode, "object": ids[0].hex(), "cluster": ids[1].hex(), "created": created,
            "policy_version": policy_version, **policy_of(contents[1]), "sections": sections}, contents[2]


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        body, layout = body_of(file.read())
    told, denied = envelope_of(body)
    if len(sys.argv) > 2:
        with open(sys.argv[2], "wb") as file:
            file.write(denied)
    print(json.dumps({**told, **layout}, indent=2))
