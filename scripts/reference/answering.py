"""Answers the requests of tests over pipes, for as long as there are any.

Reads one JSON object per line from stdin: `request`, the name of one of the functions, and its arguments. Writes one JSON
object per line to stdout: the answer, or `{"error": "..."}`. `{"ready": true}` comes first.

One process answers all tests of a binary, because importing the packages takes longer than most answers.
"""

import json
import os
import sys
import traceback


def serve(functions):
    """Answers with `functions`, each of which takes the arguments of a request and returns a dict."""
    functions = {function.__name__: function for function in functions}
    # Packages may print; the stream of answers must have nothing else.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        arguments = json.loads(line)
        try:
            answer = functions[arguments.pop("request")](**arguments)
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers)
