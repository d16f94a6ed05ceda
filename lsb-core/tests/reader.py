#!/usr/bin/env python3
"""A second reader of protected pictures, written from docs/envelope.md alone, with nothing but Python's standard library.

`reader.py FILE.png DENIED.png` prints what the file tells everybody as JSON, and writes its denied picture.
`reader.py FILE.png DENIED.png SHARE ORIGINAL` opens it as well, with the ledger's share in hexadecimal: it prints the
original's metadata and writes the original. Not checked: signatures, since Python brings no Ed25519. Not read: kinds of
PNG that are never written (interlaced, palettes, few bits). Not fast, and not safe from those who measure its time.
"""
import hashlib, hmac, json, pathlib, struct, sys, zlib


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
            **policy_of(contents[1]), "sections": sections}, contents, body[:88]


def chacha20_block(key, counter, nonce):
    """RFC 8439, §2.3."""
    start = struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce)
    state = list(start)
    for round in range(20):
        for i in range(4):
            a, b, c, d = i, 4 + (i + round % 2) % 4, 8 + (i + round % 2 * 2) % 4, 12 + (i + round % 2 * 3) % 4
            for to, other, turned, by in (a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7):
                state[to] = (state[to] + state[other]) & 0xFFFFFFFF
                word = state[turned] ^ state[to]
                state[turned] = (word << by | word >> 32 - by) & 0xFFFFFFFF
    return struct.pack("<16I", *((x + y) & 0xFFFFFFFF for x, y in zip(state, start)))


def opened_chunk(key, nonce, bound, sealed):
    """RFC 8439, §2.5 and §2.8: the plaintext of ChaCha20-Poly1305, if the tag fits."""
    content, tag = sealed[:-16], sealed[-16:]
    one_time = chacha20_block(key, 0, nonce)
    r, s = int.from_bytes(one_time[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF, one_time[16:32]
    lengths = struct.pack("<QQ", len(bound), len(content))
    checked, total = b"".join(part + bytes(-len(part) % 16) for part in (bound, content, lengths)), 0
    for at in range(0, len(checked), 16):
        total = (total + int.from_bytes(checked[at:at + 16] + b"\1", "little")) * r % (2**130 - 5)
    expected = (total + int.from_bytes(s, "little")) % 2**128
    assert expected.to_bytes(16, "little") == tag, "not what the owner encrypted"
    stream = b"".join(chacha20_block(key, 1 + at // 64, nonce) for at in range(0, len(content), 64))
    return bytes(x ^ y for x, y in zip(content, stream))


def opened_chunks(key, bound, sealed):
    """§5.2: the nonce counts chunks and tells the last."""
    chunks = [sealed[at:at + 65552] for at in range(0, len(sealed), 65552)]
    nonce = lambda number: struct.pack(">7xIB", number, number == len(chunks) - 1)
    return b"".join(opened_chunk(key, nonce(number), bound, chunk) for number, chunk in enumerate(chunks))


def original_of(contents, bound, ledger_share):
    """§5: what a viewer is given."""
    sealed = Fields(contents[4])
    picture_share, commitment = sealed.take("32s32s")
    hashed = lambda key, data: hmac.new(key, data, hashlib.sha256).digest()
    extracted = hashed(b"raft-lsb object key v1", picture_share + ledger_share)
    key = lambda purpose: hashed(extracted, purpose + b"\0" + bound + b"\1")
    assert key(b"commitment") == commitment, "the share of another object"
    metadata = Fields(opened_chunks(key(b"metadata"), bound, contents[5]))
    version, kind, width, height, length, digest = metadata.take("BBIIQ32s")
    assert version in (1, 2), "metadata of a newer program"
    name = None
    if version == 2:
        used, room = metadata.take("B255s")
        assert not any(room[used:]), "bytes behind the name"
        name = room[:used].decode("utf-8") or None
    assert metadata.at == len(metadata.data), "bytes behind the metadata"
    kinds = (None, "PNG", "JPEG", "WebP", "BMP", "TIFF", "GIF", "HEIC", "AVIF")
    assert (version == 2) == (name is not None or kind > 6), "another version than is needed"
    original = opened_chunks(key(b"original"), bound, contents[4][64:])
    assert len(original) == length and hashlib.sha256(original).digest() == digest, "not the original"
    return {"version": version, "format": kinds[kind], "width": width, "height": height, "bytes": length,
            "name": name}, original


body, layout = body_of(pathlib.Path(sys.argv[1]).read_bytes())
told, contents, bound = envelope_of(body)
pathlib.Path(sys.argv[2]).write_bytes(contents[2])
if len(sys.argv) > 3:
    told["original"], original = original_of(contents, bound, bytes.fromhex(sys.argv[3]))
    pathlib.Path(sys.argv[4]).write_bytes(original)
print(json.dumps({**told, **layout}, indent=2))
