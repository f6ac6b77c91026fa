const http = require('http');

http.createServer((req, res) => {
  if (req.url !== '/mcp/status') {
    res.writeHead(404);
    res.end();
    return;
  }
  res.writeHead(200, { 'Content-Type': 'application/json' });
  res.end(JSON.stringify({ status: 'worker2 waits for work' }));
}).listen(7000);
