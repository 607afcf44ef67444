"""The log's root, computed by other hands: bodies, digests and leaves as src/log/digest.rs describes them, the tree by
pymerkle. Reads a dump of the log from stdin, a JSON object; prints the root at each size from 1 on, a line each."""

import hashlib
import json
import sys
from datetime import datetime, timedelta, timezone
from uuid import UUID

from blake3 import blake3
from pymerkle import InmemoryTree

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def record(*fields):
    """Each field is its length, four bytes, and then its bytes."""
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def integer(number, size):
    return number.to_bytes(size, "big", signed=True)


def uuid(text):
    return b"" if text is None else UUID(text).bytes


def raw(text):
    """A bytea as Postgres writes it."""
    return b"" if text is None else bytes.fromhex(text.removeprefix("\\x"))


def micros(text):
    return integer((datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1), 8)


def canonical(body):
    """RFC 8785, for facts: no fractions, and keys that are plain ASCII."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def words_digest(words):
    fields = (
        bytes([words["part"]]),
        uuid(words["subject_id"]),
        integer(words["generation"], 4),
        raw(words["nonce"]),
        raw(words["ciphertext"]),
    )
    digest = blake3(record(*fields), derive_key_context="convoledger words digest v1").digest()
    return bytes([words["part"]]) + digest


def event_digest(event, words):
    place = b"" if event["segment"] is None else integer(event["segment"], 4) + integer(event["depth"], 4)
    fields = (
        uuid(event["owner_id"]),
        uuid(event["stream_id"]),
        uuid(event["id"]),
        uuid(event["command_id"]),
        integer(event["command_nth"], 2),
        raw(event["command_digest"]),
        uuid(event["actor_id"]),
        uuid(event["correlation_id"]),
        uuid(event["causation_id"]),
        micros(event["occurred_at"]),
        place,
        event["kind"].encode(),
        integer(event["kind_version"], 2),
        canonical(event["body"]),
        b"".join(words_digest(part) for part in words),
    )
    return blake3(record(*fields), derive_key_context="convoledger event digest v1").digest()


def leaf_record(log, event, words):
    fields = (
        log["origin"].encode(),
        uuid(log["history"]),
        integer(event["position"], 8),
        uuid(event["owner_id"]),
        uuid(event["stream_id"]),
        integer(event["version"], 4),
        micros(event["recorded_at"]),
        event_digest(event, words),
    )
    return b"\x01" + record(*fields)


def main():
    log = json.load(sys.stdin)
    tree = InmemoryTree(algorithm="sha256")
    for event in log["events"]:
        words = [words for words in log["words"] if words["position"] == event["position"]]
        size = tree.append_entry(leaf_record(log, event, words))
        print(tree.get_root(size).hex())


if __name__ == "__main__":
    main()
