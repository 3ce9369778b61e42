"""httpbin as an ASGI application: for a server that speaks HTTP/2. (Hypercorn's own WSGI side fails on empty bodies.)"""

from a2wsgi import WSGIMiddleware
from httpbin import app as flask_app

app = WSGIMiddleware(flask_app, workers=16)
