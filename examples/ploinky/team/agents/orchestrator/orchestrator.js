const express = require('express');

// All of them are ready before this runs.
const show = (answer) => answer.text().then((text) => console.log(text));
fetch('http://worker1:7000/mcp/status').then(show);
fetch('http://worker2:7000/mcp/status').then(show);
fetch('http://database:7000/mcp/status').then(show);

const app = express();

app.get('/mcp/status', (req, res) => {
  res.json({ status: 'running' });
});

app.listen(7000);
