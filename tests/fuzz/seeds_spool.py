#!/usr/bin/python3
"""Writes the seeds of fuzz_spool into the folder that is named: python3 seeds_spool.py ../corpus/spool"""
import pathlib
import struct
import sys

EPOCH = 0x1122334455667788
BATCH, STATUS, LOSS = 1, 2, 3


def frame(kind, first, last, packets, total, payload, epoch=EPOCH):
    return struct.pack(">IBBHIIQQQQQQ", 0x48524446, 1, kind, 0, len(payload),
                       0 if kind == LOSS else packets, epoch, first, last, total, 0, 0) + payload


def batches(first, n, total=0, epoch=EPOCH):
    return b"".join(frame(BATCH, s, s, 10, total + 10 * (s - first + 1), b"%04d" % s * 4, epoch)
                    for s in range(first, first + n))


def file(content, first=1, total=0, checksum=0, stream=0):
    return struct.pack(">BQQQH", stream, first, total, checksum, len(content)) + content


def case(*files, flags=3, shared=0, shared_total=0):
    return struct.pack(">BQQ", flags, shared, shared_total) + b"".join(files)


loss = frame(LOSS, 3, 5, 0, 60, b"\x08\x01")
seeds = {
    "plain": case(file(batches(1, 5))),
    "zeros_behind": case(file(batches(1, 3) + bytes(200))),
    "torn": case(file(batches(1, 3)[:-9])),
    "hole": case(file(batches(1, 2) + batches(5, 2, 40))),
    "junk_between": case(file(batches(1, 2) + b"HRDFjunk" * 9 + batches(3, 2, 20))),
    "loss_inside": case(file(batches(1, 2) + loss + batches(6, 2, 60))),
    "loss_over_files": case(file(frame(LOSS, 1, 9, 0, 90, b"\x08\x01")), file(batches(4, 6, 30), 4, 30)),
    "two_files": case(file(batches(1, 4)), file(batches(5, 4, 40), 5, 40)),
    "file_missing": case(file(batches(1, 4)), file(batches(9, 4, 80), 9, 80, 77)),
    "empty_between": case(file(batches(1, 4)), file(b"", 5, 40), file(batches(9, 4, 80), 9, 80)),
    "front_destroyed": case(file(b"x" * 300), file(batches(5, 4, 40), 5, 40)),
    "fork_unfinished": case(file(batches(1, 6)), file(batches(1, 2, 0, EPOCH + 1), stream=1), shared=2,
                            shared_total=20),
    "fork_done": case(file(batches(1, 6)), file(batches(1, 9, 0, EPOCH + 1), stream=1), shared=2,
                      shared_total=20),
    "end_of_numbers": case(file(batches(2**63 - 4, 3), 2**63 - 4)),
    "foreign_epoch": case(file(batches(1, 4, 0, 99))),
    "raw": case(file(batches(1, 4)), flags=0),
}

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for name, content in seeds.items():
    (folder / name).write_bytes(content)
