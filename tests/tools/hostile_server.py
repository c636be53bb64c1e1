"""A server that speaks the protocol's lines by hand and misbehaves: `python hostile_server.py MODE`."""

from __future__ import annotations

import json
import os
import sys
import time

mode = sys.argv[1]


def say(**fields: object) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **fields}) + "\n")
    sys.stdout.flush()


def listed(cursor: object) -> dict:
    any_object = {"type": "object"}
    if mode == "many":   # pages without end
        n = int(str(cursor or 0))
        return {"tools": [{"name": f"t{n}_{i}", "inputSchema": any_object} for i in range(100)], "nextCursor": str(n + 1)}
    if mode == "collide":
        return {"tools": [{"name": name, "description": name, "inputSchema": any_object}
                          for name in ("a-b", "a.b", "a b", "class", "9lives", "__init__", "é!", "", "x" * 500)]}
    if mode in ("schemas", "deep"):
        deep: dict = {"type": "string"}
        for _ in range(40 if mode == "schemas" else 400):
            deep = {"type": "array", "items": deep}
        schemas = [
            {"type": "object", "properties": {"a": {"$ref": "#/$defs/Loop"}}, "$defs": {"Loop": {"$ref": "#/$defs/Loop"}}},
            {"type": "object", "properties": {"a": {"$ref": "http://elsewhere.example/x"}, "b": deep, "c": True}},
            {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(5000)}},
            {"type": "object", "properties": {"from": {"type": "string"}, "class": {"enum": [f"v{n}" for n in range(10000)]}}, "required": ["from", "nowhere"]},
            {"type": "object", "properties": {"a": {"type": "string", "description": "\x1b[31mred\x1b[0m \u202eevil" + "x" * 100000}}},
            {"type": "object", "additionalProperties": True},
            {"type": "object", "properties": {"a b": {}, "a-b": {}, "a_b": {"type": ["string", "null", "nonsense"]}}},
            {"type": "object", "properties": {f"p{n}": {"anyOf": [{"enum": ["y" * 90 + str(i) for i in range(9)]}]} for n in range(60)}},
        ]
        return {"tools": [{"name": f"s{n}", "description": "d" * 10**6, "inputSchema": schema} for n, schema in enumerate(schemas)]}
    if mode == "malformed":
        return {"tools": [{"name": "go", "inputSchema": {"type": 7, "properties": ["a"]}}]}
    return {"tools": [{"name": "go", "description": "Go.", "inputSchema": any_object}]}


print("\x1b[31mhello from stderr", file=sys.stderr, flush=True)
if mode == "dies":
    sys.exit("no licence")
for line in sys.stdin:
    if mode == "silent":
        continue
    asked = json.loads(line)
    method, number = asked.get("method"), asked.get("id")
    if number is None:
        continue
    if method == "initialize":
        if mode == "noise":
            sys.stdout.write("this is no JSON\n\x00\xff\n[1, 2\n")
        say(id=number, result={"protocolVersion": asked["params"]["protocolVersion"], "capabilities": {"tools": {}},
                               "serverInfo": {"name": "print" if mode == "named" else "bad server", "version": "1"}})
    elif method == "tools/list":
        if mode == "notools":
            say(id=number, result={"tools": "none"})
        else:
            say(id=number, result=listed(asked.get("params", {}).get("cursor")))
    elif method == "tools/call" and mode == "crash":
        print("out of coffee", file=sys.stderr, flush=True)
        os._exit(3)
    elif method == "tools/call" and mode == "hang":
        time.sleep(3600)
    elif method == "tools/call" and mode == "garbage":
        say(id=number, result={"content": [{"type": "image", "data": "%%%", "mimeType": "image/png"}]})
    elif method == "tools/call" and mode == "refuse":
        say(id=number, error={"code": -32603, "message": "\x1b[2Jnot today"})
    elif method == "tools/call":
        say(id=number, result={"content": [{"type": "text", "text": "gone"}]})
    else:
        say(id=number, error={"code": -32601, "message": "unknown method"})
