const http = require('http');

const server = http.createServer((req, res) => {
  if (req.url === '/mcp/status') {
    res.writeHead(200, { 'Content-Type': 'application/json' });
    res.end(JSON.stringify({ status: 'ok' }));
  } else if (req.url.startsWith('/mcp/')) {
    const path = req.url.substring(5);
    res.writeHead(200);
    res.end(`API path: ${path}`);
  } else {
    res.writeHead(404);
    res.end('Not found');
  }
});

server.listen(7000, () => {
  console.log('Agent server running on port 7000');
});
