"""Fingerprints and profiles: reading, checking and writing them, and what they look like to a server.

registry, engines, rows, wire, client_hello and texts need nothing but the standard library and each other: the generator of
the engine's tables and the checker (tools/) load them without the rest of the package. Everything here is imported when it
is first needed.
"""
