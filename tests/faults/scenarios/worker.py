"""A worker of `tests.faults.scenarios.serve_with_fake_clock`: the bridge's own, with a clock that can be set."""

from connector.instance.worker import main
from tests.faults.scenarios.clock import time_ns

if __name__ == "__main__":
    main(time_ns)
