"""A Ray of this machine alone, and `serve run service.ray_app:build` in it: `python ray_cluster.py PORT FOLDER`.

A process of its own, since Ray keeps threads and handlers to the end of the one that starts it. `run` and `delete` on
its standard input, a line each, deploy the application and take it away; the end of the input ends all.
"""

import sys

import ray
from ray import serve
from ray.serve.scripts import cli

NAME = "tie"
NUM_CPUS = 4  # that Ray may give away, whatever this machine has


def main(port: int, folder: str) -> None:
    ray.init(
        num_cpus=NUM_CPUS,
        object_store_memory=100_000_000,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=folder,
    )
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        for line in sys.stdin:
            if line.strip() == "run":
                cli.main(["run", "--non-blocking", "--name", NAME, "service.ray_app:build"], standalone_mode=False)
            else:
                serve.delete(NAME)
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
