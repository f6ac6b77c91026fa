from flask import Flask, jsonify, request
import os

app = Flask(__name__)


@app.route('/mcp/status')
def status():
    return jsonify({
        'status': 'healthy',
        'agent': os.environ.get('AGENT_NAME'),
        'language': 'python',
    })


@app.route('/mcp/process', methods=['POST'])
def process():
    data = request.json
    return jsonify({
        'result': f"Processed: {data}",
        'method': 'python',
    })


if __name__ == '__main__':
    app.run(host='0.0.0.0', port=7000)
