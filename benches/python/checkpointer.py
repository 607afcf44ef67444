"""LangGraph's Postgres checkpointer, asked line by line: `state CLIENTS SECONDS`, and so `history` and `fork`, answer how many
so many clients together did a second, each a process with a connection of its own; `size 0 0` answers the bytes of its tables.
The first line is the threads: lists of texts, as JSON."""

import json
import multiprocessing
import sys
import time

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.postgres import PostgresSaver
from psycopg import Connection
from psycopg.rows import dict_row


def message(text):
    return {"role": "user", "content": text}


def put(saver, thread, parent, messages):
    """A checkpoint of all messages, below `parent`, as a graph whose state is a list of messages writes it."""
    version = f"{len(messages):032}.{time.time_ns()}"
    checkpoint = empty_checkpoint() | {
        "channel_values": {"messages": messages},
        "channel_versions": {"messages": version},
    }
    config = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    if parent:
        config["configurable"]["checkpoint_id"] = parent
    metadata = {"source": "loop", "step": len(messages), "parents": {}}
    saver.put(config, checkpoint, metadata, {"messages": version})
    return checkpoint["id"]


def connect():
    return Connection.connect(sys.argv[1], autocommit=True, prepare_threshold=0, row_factory=dict_row)


def rate(saver, threads, what, turned, seconds):
    """How many it does a second, beginning with the thread and the point that are behind `turned`."""
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        turned += 1
        thread = turned % len(threads)
        points = threads[thread]
        at = turned * 7 % (len(points) - 1)
        config = {"configurable": {"thread_id": str(thread), "checkpoint_ns": "", "checkpoint_id": points[at]}}
        if what == "state":
            found = saver.get_tuple(config)
            assert len(found.checkpoint["channel_values"]["messages"]) == at + 1
        elif what == "history":
            whole = {"configurable": {"thread_id": str(thread), "checkpoint_ns": ""}}
            assert len(list(saver.list(whole))) >= len(points)
        else:
            found = saver.get_tuple(config)
            put(saver, str(thread), points[at], found.checkpoint["channel_values"]["messages"] + [message("and if not?")])
        done += 1
    return done / (time.perf_counter() - began), turned


def client(ready, rates, threads, what, turned, seconds):
    with connect() as connection:
        saver = PostgresSaver(connection)
        ready.wait()
        rates.put(rate(saver, threads, what, turned, seconds)[0])


def rate_of_all(threads, what, clients, turned, seconds):
    many = multiprocessing.get_context("fork")
    ready, rates = many.Barrier(clients), many.Queue()
    processes = [
        many.Process(target=client, args=(ready, rates, threads, what, turned + nth * len(threads) // clients, seconds))
        for nth in range(clients)
    ]
    for process in processes:
        process.start()
    together = sum(rates.get() for _ in processes)
    for process in processes:
        process.join()
    return together


def main():
    connection = connect()
    saver = PostgresSaver(connection)
    saver.setup()
    size = "SELECT sum(pg_total_relation_size(oid)) AS size FROM pg_class WHERE relname LIKE 'checkpoint%' AND relkind = 'r'"
    bytes_of = lambda: float(connection.execute(size).fetchone()["size"])
    empty = bytes_of()
    threads = []
    for nth, texts in enumerate(json.loads(sys.stdin.readline())):
        points, parent, messages = [], None, []
        for text in texts:
            messages = messages + [message(text)]
            parent = put(saver, str(nth), parent, messages)
            points.append(parent)
        threads.append(points)
    connection.execute("VACUUM ANALYZE")
    taken = bytes_of() - empty

    turned = 0
    for line in sys.stdin:
        what, clients, seconds = line.split()
        if what == "size":
            print(taken, flush=True)
        elif clients == "1":
            done, turned = rate(saver, threads, what, turned, float(seconds))
            print(done, flush=True)
        else:
            print(rate_of_all(threads, what, int(clients), turned, float(seconds)), flush=True)
            turned += 1


main()
