"""A worker of `tests.outages.jumping`: the bridge's own, with a clock that can be set."""

from connector.instance.worker import main
from tests.outages.clock import time_ns

if __name__ == "__main__":
    main(time_ns)
