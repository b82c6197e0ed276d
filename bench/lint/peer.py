"""Has stock cleanvision look at a folder with all of its checks, on all cores; prints images per second."""

import contextlib
import io
import sys
import time

from cleanvision import Imagelab


def main(folder: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        start = time.monotonic()
        lab = Imagelab(data_path=folder)
        lab.find_issues(verbose=False)
        seconds = time.monotonic() - start
    print(len(lab.issues) / seconds)


# It starts processes that read this file again.
if __name__ == "__main__":
    main(sys.argv[1])
