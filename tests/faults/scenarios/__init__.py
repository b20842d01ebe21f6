"""Outages, restarts and full disks under load: what was answered 200 is in the topics, whatever breaks.

    python -m tests.faults.scenarios [--only FAULT] [--seconds 6] [--rate 100] [--runs N] [--json]     make faults

A cluster of three brokers, the bridge with two workers and its spool, senders that keep a ledger of every callback and its
answers, and a reader that keeps one of every record. `faults` is the list of what breaks, `judge` compares the ledgers.
"""
