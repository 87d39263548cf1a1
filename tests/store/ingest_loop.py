"""Write into a library until killed, and print every write as a line of JSON.

`python ingest_loop.py ROOT FIRST SEED` prints {"try": {name: take or null}} before a write and
{"ok": take} after it. Takes count from FIRST and make every write distinct.
"""

import itertools
import json
import random
import sys

from samples import make_video

from seehear.store import Store

NAMES = [f"film {number}" for number in range(12)]


def main() -> None:
    root, first, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    choose = random.Random(seed)
    with Store.open(root, write=True) as store:
        for take in itertools.count(first):
            names = choose.sample(NAMES, choose.randint(1, 3))
            is_removal = choose.random() < 0.2
            print_json({"try": dict.fromkeys(names, None if is_removal else take)})
            made = [make_video(name, items=1 + take % 3, take=take) for name in names]
            if is_removal:
                store.remove([video.id for video, _ in made])
            else:
                store.put(made)
            if choose.random() < 0.1:
                store.maintain()
            print_json({"ok": take})


def print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
