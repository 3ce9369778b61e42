// Node as a peer: HTTP/2 and HTTP/1.1 over TLS. Answers with JSON of what it received; /bytes/N sends N bytes, /trailers
// sends trailers, /status/N a status, /redirect/N redirects N times, /slow/MS answers after that time.
const fs = require('fs');
const http2 = require('http2');

const options = {
  cert: fs.readFileSync(process.env.PEER_CERT),
  key: fs.readFileSync(process.env.PEER_KEY),
  allowHTTP1: true,
};

const server = http2.createSecureServer(options, (request, response) => {
  const parts = request.url.split('?')[0].split('/');
  const number = parseInt(parts[2] || '0', 10);
  const body = [];
  request.on('error', () => {});
  response.on('error', () => {});
  request.on('data', (part) => body.push(part));
  request.on('end', () => {
    switch (parts[1]) {
      case 'bytes':
        response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': number });
        response.end(Buffer.alloc(number, 'x'));
        break;
      case 'status':
        response.writeHead(number);
        response.end();
        break;
      case 'redirect':
        response.writeHead(302, { location: number > 1 ? `/redirect/${number - 1}` : '/' });
        response.end();
        break;
      case 'slow':
        setTimeout(() => { response.writeHead(200); response.end('late'); }, number);
        break;
      case 'trailers':
        response.writeHead(200, { trailer: 'x-checksum' });
        response.write('with trailers');
        response.addTrailers({ 'x-checksum': 'abc' });
        response.end();
        break;
      default: {
        const headers = [];
        for (let i = 0; i < request.rawHeaders.length; i += 2) {
          headers.push([request.rawHeaders[i], request.rawHeaders[i + 1]]);
        }
        const data = Buffer.concat(body);
        const text = JSON.stringify({
          method: request.method,
          url: request.url,
          version: request.httpVersion,
          headers,
          body_length: data.length,
          body: data.length < 65536 ? data.toString('latin1') : null,
        });
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(text);
      }
    }
  });
});
server.on('sessionError', () => {});
server.on('tlsClientError', () => {});
server.listen(parseInt(process.env.PEER_PORT, 10), '127.0.0.1');
