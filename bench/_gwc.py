"""The binary of gwc that a benchmark runs."""
import os, sys

def binary():
    """GWC, otherwise the shipped binary (`make dist`), otherwise that of `make bins`, with a warning."""
    given = os.environ.get("GWC")
    if given: return os.path.abspath(given)
    target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "target")
    shipped, built = (os.path.abspath(os.path.join(target, folder, "gwc")) for folder in ("bin-dist", "bin"))
    if os.path.exists(shipped): return shipped
    print(f"{os.path.basename(sys.argv[0])}: there is no {shipped} (`make dist`); its figures are of a build that is not shipped", file=sys.stderr)
    return built
