"""The model that adds, by name; `slow:SECONDS` waits before it does."""

import time

from toy import Adder


class Slow(Adder):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def complete(self, messages, **options):
        time.sleep(self.seconds)
        return super().complete(messages, **options)


def create(how: str = "right") -> Adder:
    return Slow(float(how.partition(":")[2])) if how.startswith("slow:") else Adder(how)
