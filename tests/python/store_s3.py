"""The whole way with a store in S3: a server on loopback, segments, commit, report, compact, forget, check.

usage: store_s3.py TERRARIUM SEGMENTS
"""

import json
import os
import socket
import subprocess
import sys
import time

import boto3

terrarium, segments = sys.argv[1:]

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
address = f"http://127.0.0.1:{port}"
server = subprocess.Popen(
    [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)
try:
    keys = dict(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1")
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1",
                          aws_access_key_id="test", aws_secret_access_key="test")
    for _ in range(200):
        try:
            client.create_bucket(Bucket="usage")
            break
        except Exception:
            time.sleep(0.1)
    environment = dict(os.environ, AWS_ENDPOINT_URL=address, TERRARIUM_STORE="s3://usage/python", **keys)

    def run(*words):
        done = subprocess.run([terrarium, *words], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    run("collect", "--segments", segments, "--store", "s3://usage/python")
    assert not [name for name in os.listdir(segments) if name.endswith(".segment")]
    sql = lambda query: json.loads(run("store", "sql", "--format", "json", query))
    before = sql("SELECT count(*) AS n, count(DISTINCT process_id) AS p FROM imports")[0]
    assert before["n"] > 0, before
    assert "all is well" in run("store", "check")
    run("store", "compact", "--keep", "0s")
    assert sql("SELECT count(*) AS n, count(DISTINCT process_id) AS p FROM imports")[0] == before
    assert "all is well" in run("store", "check")
    run("report", "top")
    user = sql('SELECT "user" FROM users')[0]["user"]
    run("store", "forget", user)
    assert sql("SELECT count(*) AS n FROM processes")[0]["n"] == 0
    names = [item["Key"] for page in client.get_paginator("list_objects_v2").paginate(Bucket="usage")
             for item in page.get("Contents", [])]
    for name in names:
        body = client.get_object(Bucket="usage", Key=name)["Body"].read()
        assert user.encode() not in body, name
    print("s3", before["n"], len(names))
finally:
    server.terminate()
    server.wait()
