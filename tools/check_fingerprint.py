#!/usr/bin/env python3
"""Decodes, compares and records TLS and HTTP/2 fingerprints: see fingerprint/cli.py, or --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fingerprint.cli import main

if __name__ == "__main__":
    sys.exit(main())
