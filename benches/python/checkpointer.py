"""LangGraph's Postgres checkpointer, asked line by line: `WAY WHAT CLIENTS SECONDS`.

The way is `hand`, which calls the checkpointer for what is the least that it takes, or `graph`, which lets LangGraph do so as
its users do. `state`, `history` and `fork` answer how many so many clients together did a second, each a process with a
connection of its own; `size` answers the bytes that the threads took.
The first line is the threads: lists of texts, as JSON, which one says and the other answers."""

import json
import multiprocessing
import sys
import time

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import START, MessagesState, StateGraph
from psycopg import Connection
from psycopg.rows import dict_row


def config(thread, checkpoint=None):
    at = {"checkpoint_id": checkpoint} if checkpoint else {}
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ""} | at}


class ByHand:
    """A checkpoint for each message, of all messages up to it, and nothing else."""

    def __init__(self, saver):
        self.saver = saver

    def write(self, thread, texts):
        points, messages = [], []
        for text in texts:
            messages = messages + [self.message(text)]
            points.append(self.put(thread, points[-1] if points else None, messages))
        return points

    def state(self, thread, points, at):
        found = self.saver.get_tuple(config(thread, points[at]))
        assert len(found.checkpoint["channel_values"]["messages"]) == at + 1

    def history(self, thread, points):
        assert len(list(self.saver.list(config(thread)))) >= len(points)

    def fork(self, thread, points, at):
        found = self.saver.get_tuple(config(thread, points[at])).checkpoint["channel_values"]["messages"]
        self.put(thread, points[at], found + [self.message("and if not?")])

    @staticmethod
    def message(text):
        return {"role": "user", "content": text}

    def put(self, thread, parent, messages):
        version = f"{len(messages):032}.{time.time_ns()}"
        checkpoint = empty_checkpoint() | {
            "channel_values": {"messages": messages},
            "channel_versions": {"messages": version},
        }
        metadata = {"source": "loop", "step": len(messages), "parents": {}}
        self.saver.put(config(thread, parent), checkpoint, metadata, {"messages": version})
        return checkpoint["id"]


class ByGraph:
    """A graph of one node, which answers what is said."""

    def __init__(self, saver):
        self.answers = iter(())
        answer = lambda state: {"messages": [AIMessage(next(self.answers))]}
        self.graph = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile(checkpointer=saver)

    def write(self, thread, texts):
        self.answers = iter(texts[1::2])
        for text in texts[0::2]:
            self.graph.invoke({"messages": [HumanMessage(text)]}, config(thread), durability="sync")
        points = {len(state.values["messages"]): state for state in self.graph.get_state_history(config(thread))}
        return [points[length].config["configurable"]["checkpoint_id"] for length in range(1, len(texts) + 1)]

    def state(self, thread, points, at):
        assert len(self.graph.get_state(config(thread, points[at])).values["messages"]) == at + 1

    def history(self, thread, points):
        assert len(list(self.graph.get_state_history(config(thread)))) >= len(points)

    def fork(self, thread, points, at):
        said = {"messages": [HumanMessage("and if not?")]}
        self.graph.update_state(config(thread, points[at]), said, as_node="answer")


WAYS = {"hand": ByHand, "graph": ByGraph}


def connect():
    return Connection.connect(sys.argv[1], autocommit=True, prepare_threshold=0, row_factory=dict_row)


def rate(way, threads, what, turned, seconds):
    """How many it does a second, beginning with the thread and the point that are behind `turned`."""
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        turned += 1
        thread, points = threads[turned % len(threads)]
        at = turned * 7 % (len(points) - 1)
        if what == "state":
            way.state(thread, points, at)
        elif what == "history":
            way.history(thread, points)
        else:
            way.fork(thread, points, at)
        done += 1
    return done / (time.perf_counter() - began), turned


def client(ready, rates, way, threads, what, turned, seconds):
    with connect() as connection:
        alone = WAYS[way](PostgresSaver(connection))
        ready.wait()
        rates.put(rate(alone, threads, what, turned, seconds)[0])


def rate_of_all(way, threads, what, clients, turned, seconds):
    many = multiprocessing.get_context("fork")
    ready, rates = many.Barrier(clients), many.Queue()
    begin = [turned + nth * len(threads) // clients for nth in range(clients)]
    processes = [many.Process(target=client, args=(ready, rates, way, threads, what, at, seconds)) for at in begin]
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

    texts = json.loads(sys.stdin.readline())
    ways, threads, taken = {name: way(saver) for name, way in WAYS.items()}, {}, {}
    for name, way in ways.items():
        before = bytes_of()
        names = [f"{name}-{nth}" for nth in range(len(texts))]
        threads[name] = [(thread, way.write(thread, said)) for thread, said in zip(names, texts)]
        connection.execute("VACUUM ANALYZE")
        taken[name] = bytes_of() - before

    turned = 0
    for line in sys.stdin:
        name, what, clients, seconds = line.split()
        if what == "size":
            print(taken[name], flush=True)
        elif clients == "1":
            done, turned = rate(ways[name], threads[name], what, turned, float(seconds))
            print(done, flush=True)
        else:
            print(rate_of_all(name, threads[name], what, int(clients), turned, float(seconds)), flush=True)
            turned += 1


main()
