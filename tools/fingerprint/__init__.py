"""The fingerprint checker: what tools/check_fingerprint.py and the tests are made of."""
