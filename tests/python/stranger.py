"""A stranger's check of proofs, by other hands: signed notes, .tlog-proof files and consistency proofs as the C2SP
specifications and RFC 9162 have them. Reads a JSON object from stdin: the log's key, a dump of the log, and files; prints
a verdict for each file, a line each."""

import base64
import hashlib
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from oracle import leaf_record


class Refused(Exception):
    pass


def decoded(text):
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused from error
    if base64.b64encode(raw).decode() != text:
        raise Refused
    return raw


def digest(text):
    raw = decoded(text)
    if len(raw) != 32:
        raise Refused
    return raw


def number(text):
    if not text.isascii() or not text.isdigit() or str(int(text)) != text:
        raise Refused
    return int(text)


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def leaf(record):
    return hashlib.sha256(b"\x00" + record).digest()


def opened(note, key):
    """Size and root of a checkpoint that the key signed."""
    name, hint, encoded = key.split("+", 2)
    public = decoded(encoded)
    if public[:1] != b"\x01" or hashlib.sha256(f"{name}\n".encode() + public).hexdigest()[:8] != hint:
        raise Refused
    text, found, lines = note.rpartition("\n\n")
    if not found or not lines.endswith("\n"):
        raise Refused
    text, signed = text + "\n", False
    for line in lines.removesuffix("\n").split("\n"):
        dash, signer, signature = (line.split(" ") + ["", ""])[:3]
        raw = decoded(signature)
        if dash != "\u2014" or len(raw) < 5:
            raise Refused
        if signer == name and raw[:4].hex() == hint:
            try:
                Ed25519PublicKey.from_public_bytes(public[1:]).verify(raw[4:], text.encode())
            except InvalidSignature as error:
                raise Refused from error
            signed = True
    if not signed:
        raise Refused
    origin, size, root = text.split("\n")[:3]
    return number(size), digest(root)


def check_proof(file, given):
    """RFC 9162, section 2.1.3.2, over the record that the dump says."""
    proof, found, note = file.partition("\n\n")
    lines = proof.split("\n")
    if not found or lines.pop(0) != "c2sp.org/tlog-proof@v1":
        raise Refused
    extra, at, path = decoded(lines[0].removeprefix("extra ")), lines[1], [digest(line) for line in lines[2:]]
    if not at.startswith("index "):
        raise Refused
    index = number(at.removeprefix("index "))
    size, root = opened(note, given["key"])
    if index >= size or index >= len(given["log"]["events"]):
        raise Refused
    event = given["log"]["events"][index]
    words = [words for words in given["log"]["words"] if words["position"] == event["position"]]
    if extra != leaf_record(given["log"], event, words):
        raise Refused
    fn, sn, r = index, size - 1, leaf(extra)
    for p in path:
        if sn == 0:
            raise Refused
        if fn % 2 == 1 or fn == sn:
            r = node(p, r)
            while fn % 2 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0 or r != root:
        raise Refused


def check_request(file, given):
    """RFC 9162, section 2.1.4.2, from the root that the leaves have."""
    proof, found, note = file.partition("\n\n")
    lines = proof.split("\n")
    if not found or not lines[0].startswith("old "):
        raise Refused
    first, path = number(lines[0].removeprefix("old ")), [digest(line) for line in lines[1:]]
    second, root = opened(note, given["key"])
    if first > second or first > len(given["roots"]) or first == 0:
        raise Refused
    old = bytes.fromhex(given["roots"][first - 1])
    if first == second:
        if path or old != root:
            raise Refused
        return
    if first & (first - 1) == 0:
        path.insert(0, old)
    if not path:
        raise Refused
    fn, sn = first - 1, second - 1
    while fn % 2 == 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            raise Refused
        if fn % 2 == 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while fn % 2 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0 or fr != old or sr != root:
        raise Refused


def main():
    given = json.load(sys.stdin)
    for file in given["files"]:
        try:
            (check_request if file.startswith("old ") else check_proof)(file, given)
            print("holds")
        except (Refused, ValueError, IndexError):
            print("refused")


main()
