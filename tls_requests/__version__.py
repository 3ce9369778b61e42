"""Name and version. The title is the one that programs written for the original look for."""

__title__ = "wrapper-tls-requests"
__version__ = "0.1.0"
__description__ = "HTTP for Python over connections that look like a chosen browser's."
__author__ = "The tls_requests authors"
__license__ = "MIT"
