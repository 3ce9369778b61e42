// A WebSocket server with the package `ws` (Debian: node-ws): echoes; "close CODE REASON" closes with that.
const fs = require("fs");
const https = require("https");
const { WebSocketServer } = require("/usr/share/nodejs/ws");

const server = https.createServer({ cert: fs.readFileSync(process.env.PEER_CERT), key: fs.readFileSync(process.env.PEER_KEY) });
const sockets = new WebSocketServer({
  noServer: true,
  maxPayload: 64 * 1024 * 1024,
  perMessageDeflate: { threshold: 0 },
  handleProtocols: (protocols) => protocols.values().next().value,
});
server.on("upgrade", (request, socket, head) => {
  if (request.url === "/refuse") {
    socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nno");
    return;
  }
  sockets.handleUpgrade(request, socket, head, (ws) => {
    ws.on("message", (data, isBinary) => {
      const text = isBinary ? "" : data.toString();
      if (text.startsWith("close ")) {
        const [, code, ...reason] = text.split(" ");
        ws.close(Number(code), reason.join(" "));
      } else {
        ws.send(data, { binary: isBinary });
      }
    });
    ws.on("error", () => ws.terminate());
  });
});
sockets.on("headers", (headers) => headers.push("Set-Cookie: seen=yes; Path=/"));
server.listen(Number(process.env.PEER_PORT), "127.0.0.1");
