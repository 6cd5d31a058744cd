#!/usr/bin/env python3
"""Adds up folded stacks by groups of functions, for scripts/profile.sh.

usage: scripts/profile-groups.py FOLDED --period-ns NS --units N --unit NAME

FOLDED has a stack a line as inferno-collapse-perf --all writes it, thread first and innermost last,
kernel functions marked. A sample belongs to the group of the innermost function of its stack that
is in one; a sample in the kernel to a group of the kernel.
"""

import argparse
import collections
import re

# Groups of functions of programs and libraries. What stands first wins within one function.
GROUPS = [
    ("allocator", r"^(__libc_)?(malloc|calloc|realloc|free|cfree|memalign)\b|^_int_(malloc|free)"
                  r"|^_int_realloc|^(malloc_consolidate|unlink_chunk|sysmalloc|systrim|tcache_)"
                  r"|^(__rust_(re|de)?alloc|__rdl_)|\balloc::raw_vec\b"),
    ("checksum", r"\bcrc32c\b|^(rd_)?crc32"),
    ("parse", r"\bevent::(native|time|usage|code|name)\b|\bserde_json\b|\bingest::parsed\b"),
    ("key", r"\bevent::key\b|\bblake3"),
    ("fingerprint", r"\bevent::event\b"),
    ("settle", r"\bingest::(settle|names|label)\b"),
    ("estimate", r"\bingest::estimate\b|\btokens::"),
    ("stamp", r"\bingest::stamp\b|EventColumns::(push|with_capacity)"),
    ("merge", r"\bingest::gather\b|EventColumns::append"),
    ("encode", r"\bevent::frame::(encode|build|columns|strings|v[12]::write|v[12]::column::(put|write))\b|Labels::encode"),
    ("decode", r"\bevent::(frame|labels)\b"),
    ("dedup", r"\bledger::dedup\b"),
    ("page: numbers", r"\bitoa\b"),
    ("page: histograms", r"\baggregator::family::(Histogram|write_seconds)"),
    ("page: series", r"\baggregator::family\b"),
    ("page: text", r"\baggregator::(expose|page|publisher|confirm)\b|\bledger::exposure\b"),
    ("rows", r"\bledger::state::(rows|frame_rows|interner|slot_numbers|consumers)"),
    ("count", r"\bledger::"),
    ("SQLite", r"sqlite3"),
    ("SQL client", r"\b(sqlx|flume)"),
    ("store", r"\bstore::"),
    ("Kafka client", r"^rd_|^rdk_|rdkafka|\bqueue::(kafka|raw)|\bkafka_id::"),
    ("compression", r"ZSTD|HUF_|FSE_|\bzstd\b|\bflate2\b|\bminiz_oxide\b|inflate|deflate|LZ4"),
    ("queue", r"\bqueue::"),
    ("HTTP", r"\b(hyper|hyper_util|axum|axum_core|http|http_body|http_body_util)::"
             r"|\b(tower|httparse|matchit)::|\bingest::(http|body|encoding|answer)\b"
             r"|\bservice::server\b"),
    ("ingest, other", r"\bingest::"),
    ("aggregator, other", r"\baggregator::"),
    ("runtime", r"\b(tokio|mio|parking_lot|std::thread)::|^(epoll_wait|pthread_|__lll_|syscall$)"),
]
# Groups of functions of the kernel.
KERNEL = [
    # Mapped into every process by the kernel and marked as its own, but run without entering it.
    ("clock", r"^__vdso_"),
    ("kernel: interrupts", r"^(asm_)?sysvec_|^asm_common_interrupt|^irq_exit|^__irq_exit"),
    ("kernel: memory", r"page_fault|handle_mm_fault|clear_page|clear_huge_page|mmap_region|unmap_"
                       r"|^do_m(map|unmap|advise)|alloc_pages"
                       r"|^__x64_sys_(brk|mmap|munmap|madvise|mprotect)"),
    ("kernel: scheduling", r"schedule|futex|try_to_wake_up|epoll|ep_poll|hrtimer|nanosleep"
                           r"|sched_yield|^__wake_up|timerfd|eventfd"),
    ("kernel: sockets", r"sock|tcp_|udp_|inet_|^ip_|^__ip_|skb|net_rx|napi|loopback"
                        r"|dev_queue_xmit|__x64_sys_(send|recv|accept|connect|shutdown)"),
    ("kernel: files", r"^vfs_|^ksys_p?(read|write)|ext4|jbd2|xfs_|btrfs|ovl_|fsync|fdatasync"
                      r"|blk_|bio|filemap|pagecache|page_cache|iomap|virtio|fallocate|ftruncate"
                      r"|__x64_sys_(open|close|stat|fstat|newfstat|unlink|fcntl|lseek)"
                      r"|__x64_sys_p(write|read)"),
]
PROGRAM = [(name, re.compile(text)) for name, text in GROUPS]
SYSTEM = [(name, re.compile(text)) for name, text in KERNEL]
# Where the stack of a thread begins.
ROOT = re.compile(r"^(start_thread|_?_?clone3?|_start|_dl_start_user|__libc_start_main|main)\b")
# Groups below this share are summed up as one.
SHARE_MIN = 0.01


def group_of(frames):
    """The group of a stack, innermost function last."""
    in_kernel = frames[-1].endswith("_[k]")
    for frame in reversed(frames):
        if in_kernel and not frame.endswith("_[k]"):
            break
        name = frame.removesuffix("_[k]")
        for group, pattern in SYSTEM if in_kernel else PROGRAM:
            if pattern.search(name):
                return group
    return "kernel: other" if in_kernel else "other"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folded")
    parser.add_argument("--period-ns", type=int, required=True, help="CPU time of a sample")
    parser.add_argument("--units", type=int, required=True, help="events, pages or ids")
    parser.add_argument("--unit", required=True, help="what they are, such as event")
    args = parser.parse_args()
    groups, n_samples, n_whole = collections.Counter(), 0, 0
    with open(args.folded, encoding="utf-8", errors="replace") as stacks:
        for line in stacks:
            stack, _, count = line.rpartition(" ")
            frames = stack.split(";")[1:]
            if not frames:
                continue
            n_samples += int(count)
            n_whole += int(count) if any(ROOT.match(frame) for frame in frames[:4]) else 0
            groups[group_of(frames)] += int(count)
    if n_samples == 0:
        raise SystemExit(f"{args.folded} has no samples")
    print(f"| {args.unit} spent in | ns | share |\n|---|---|---|")
    rest = 0
    for group, n in groups.most_common():
        if n < n_samples * SHARE_MIN:
            rest += n
            continue
        print(f"| {group} | {n * args.period_ns / args.units:.0f} | {n / n_samples:.1%} |")
    if rest:
        print(f"| groups below {SHARE_MIN:.0%} | {rest * args.period_ns / args.units:.0f} "
              f"| {rest / n_samples:.1%} |")
    total = n_samples * args.period_ns / args.units
    print(f"| all | {total:.0f} | {n_samples} samples, {n_whole / n_samples:.0%} whole stacks |")


if __name__ == "__main__":
    main()
