const express = require('express');
const app = express();

app.use(express.json());

app.get('/mcp/status', (req, res) => {
  res.json({ status: 'healthy' });
});

app.post('/mcp/process', (req, res) => {
  res.json({ result: `Processed: ${req.body.data}`, timestamp: new Date() });
});

app.listen(7000);
