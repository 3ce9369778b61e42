"""Name and version of the distribution."""

__title__ = "tls_requests"
__version__ = "0.1.0"
__description__ = "HTTP for Python over connections that look like a chosen browser's."
__author__ = "The tls_requests authors"
__license__ = "MIT"
